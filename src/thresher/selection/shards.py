"""Parquet shards as one table: which files, one schema, batches in a fixed order."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.errors import UserError

_BATCH = 1 << 17
# A metadata key of the files that a selection writes, so that they are not taken for shards of its input.
KEPT = b"thresher.kept"


class Shards(NamedTuple):
    """Parquet files, sorted by name, and the schema that covers all of them."""

    paths: tuple[Path, ...]
    schema: Any

    @property
    def polars_schema(self) -> dict[str, pl.DataType]:
        """The columns as polars types; Object for types that polars does not read."""
        return {field.name: _read_as(field) for field in self.schema}


def open_shards(path: str | Path, *, but: Path) -> Shards:
    """The parquet files of a path: a file, all `*.parquet` under a folder, or the matches of a glob.

    The file `but` is left out if an earlier selection wrote it.

    Raises UserError: no such file, a file that is not parquet, or shards with different columns.

    >>> open_shards("missing.parquet", but=Path("kept.parquet"))
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: missing.parquet: no such file, folder or glob of parquet files
    """
    place = Path(path)
    if place.is_dir():
        found = list(place.rglob("*.parquet"))
    elif place.is_file():
        found = [place]
    else:
        found = [Path(name) for name in glob.glob(str(path), recursive=True)]  # noqa: PTH207
        found = [file for file in found if file.is_file()]
    if not place.is_file():
        inside = [file for file in found if file.resolve() != but.resolve() or not _is_kept(file)]
        found = [file for file in inside if not file.name.startswith((".", "_"))]
    if not found:
        raise UserError(f"{path}: no such file, folder or glob of parquet files")
    paths = tuple(sorted(found))
    schemas = [_schema(file) for file in paths]
    for file, schema in zip(paths, schemas, strict=True):
        different = sorted(set(schema.names) ^ set(schemas[0].names))
        if different:
            raise UserError(
                f"{file}: column '{different[0]}' is not in every shard ({paths[0].name} differs)"
            )
    try:
        schema = pa.unify_schemas(schemas, promote_options="permissive")
        metadata = {name: value for name, value in (schema.metadata or {}).items() if name != KEPT}
        return Shards(paths, schema.with_metadata(metadata or None))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UserError(
            f"{path}: shards have different types ({_line(error)}); write them with one schema"
        ) from error


def batches(shards: Shards, columns: list[str]) -> Iterator[Any]:
    """The rows of the named columns as pyarrow tables; the order and the sizes are the same in every pass.

    Raises UserError: a shard that cannot be read.
    """
    schema = pa.schema([shards.schema.field(name) for name in columns])
    for path in shards.paths:
        try:
            with pq.ParquetFile(path, page_checksum_verification=True) as file:
                for batch in file.iter_batches(batch_size=_BATCH, columns=columns):
                    yield pa.Table.from_batches([batch]).select(columns).cast(schema)
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{path}: cannot be read ({_line(error)}); write it again") from error


def _read_as(field: object) -> pl.DataType:
    try:
        return pl.DataFrame(pa.schema([field]).empty_table()).dtypes[0]
    except pl.exceptions.PolarsError:
        return pl.Object()


def _is_kept(path: Path) -> bool:
    return KEPT in (_schema(path).metadata or {})


def _schema(path: Path) -> Any:
    try:
        return pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{path}: not a readable parquet file ({_line(error)})") from error


def _line(error: BaseException) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
