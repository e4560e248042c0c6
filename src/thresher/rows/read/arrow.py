"""Read Arrow tables, Parquet files and the tables of `datasets`; copy chosen rows of a Parquet file."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from thresher.arrow import filtered
from thresher.errors import UserError
from thresher.rows.read.sheet import BLOCK_ROWS, Cells, Sheet, joined, need, with_splits
from thresher.wording import shown

# Compression names as found in a file, where the writer has another name for them.
_CODECS = {"UNCOMPRESSED": "NONE", "LZ4_RAW": "LZ4"}


def read_parquet(raw: bytes, name: str, wanted: Sequence[str]) -> Sheet:
    """The wanted columns of a Parquet file.

    Raises UserError: not a Parquet file, a broken one, or a column that it lacks.
    """
    return _read(pa.BufferReader(raw), len(raw), name, wanted)


def read_parquet_file(path: Path, name: str, wanted: Sequence[str]) -> Sheet:
    """`read_parquet` of a file on the disk, of which no other columns are read."""
    return _read(path, path.stat().st_size, name, wanted)


def _read(source: pa.BufferReader | Path, size: int, name: str, wanted: Sequence[str]) -> Sheet:
    if not size:
        return Sheet(name, {column: [] for column in wanted})
    try:
        with pq.ParquetFile(source) as file:
            return _wanted(file, name, wanted)
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{name}: not a readable Parquet file; write it again") from error


def _wanted(file: pq.ParquetFile, name: str, wanted: Sequence[str]) -> Sheet:
    schema = file.schema_arrow
    need(wanted, schema.names, name)
    columns = with_splits(wanted, schema.names)
    if not all(_is_text(schema.field(column).type) for column in columns) or _features(schema):
        return read_table(file.read(columns=columns), name, wanted)
    blocks: dict[str, list[Cells]] = {column: [] for column in columns}
    for batch in file.iter_batches(BLOCK_ROWS, columns=columns):
        table = pa.Table.from_batches([batch])
        for column, cells in blocks.items():
            cells.append(_values(table, column, name))
    return Sheet(name, {column: joined(cells) for column, cells in blocks.items()})


def read_table(table: pa.Table, name: str, wanted: Sequence[str]) -> Sheet:
    """The wanted columns of an Arrow table.

    The class numbers of a `datasets` ClassLabel become names, and the values of a Json column what they encode.
    """
    need(wanted, table.column_names, name)
    columns = {column: _values(table, column, name) for column in with_splits(wanted, table.column_names)}
    features = _features(table.schema)
    for column, values in columns.items():
        kind, feature = table.schema.field(column).type, features.get(column, {})
        names = feature.get("names")
        if feature.get("_type") == "ClassLabel" and isinstance(names, list) and pa.types.is_integer(kind):
            # -1 is a missing label in `datasets`.
            columns[column] = [
                None if value is None or not 0 <= value < len(names) else names[value] for value in values
            ]
        elif isinstance(kind, pa.JsonType) or feature.get("_type") == "Json":
            columns[column] = [_decoded(value, name, column, row) for row, value in enumerate(values)]
    return Sheet(name, columns)


def _decoded(value: object, name: str, column: str, row: int) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"{name} row {row + 1}: column '{shown(column)}' is a Json column and {shown(value)} is not JSON; write the"
            " column again"
        ) from error


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _values(table: pa.Table, column: str, name: str) -> Cells:
    kind = table.schema.field(column).type
    if _is_text(kind) and not table[column].null_count:
        with contextlib.suppress(pa.ArrowInvalid):
            table[column].validate(full=True)
            found = pl.from_arrow(table[column])
            assert isinstance(found, pl.Series)
            return found
    try:
        values: Cells = table[column].to_pylist()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name}: column '{shown(column)}' contains strings that are not UTF-8; write them again as UTF-8"
        ) from error
    return values


def _features(schema: pa.Schema) -> dict[str, dict[str, Any]]:
    """The feature of each column, from the metadata that `datasets` writes into a schema.

    Any tool may have written this metadata, so its structure is checked at every level.
    """
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    except ValueError:
        return {}
    for name in ("info", "features"):
        found = found.get(name) if isinstance(found, dict) else None
    return {
        column: feature
        for column, feature in (found if isinstance(found, dict) else {}).items()
        if isinstance(feature, dict)
    }


def write_parquet(source: Path, keep: NDArray[np.bool_], destination: Path) -> None:
    """Copy chosen rows of a Parquet file, one row group at a time, with its schema, metadata and compression."""
    with pq.ParquetFile(source) as file:
        codecs = {}
        if file.metadata.num_row_groups:
            group = file.metadata.row_group(0)
            chunks = [group.column(index) for index in range(group.num_columns)]
            codecs = {
                chunk.path_in_schema: _CODECS.get(chunk.compression, chunk.compression) for chunk in chunks
            }
        with pq.ParquetWriter(destination, file.schema_arrow, compression=codecs or "snappy") as writer:
            start = 0
            for index in range(file.metadata.num_row_groups):
                table = file.read_row_group(index)
                kept = filtered(table, keep[start : start + table.num_rows])
                start += table.num_rows
                if kept.num_rows:
                    writer.write_table(kept)
