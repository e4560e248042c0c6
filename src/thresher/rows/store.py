"""Rows in the run folder: a Parquet file that a later process reads, and can write kept rows back from."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.errors import UserError
from thresher.rows.origin import dataset_parts, part_of
from thresher.rows.read.memory import write_dataset
from thresher.rows.table import Part, Rows, Source
from thresher.run.files import write, write_folder
from thresher.run.integrity import check_table, metadata, write_table

_KEY = b"thresher.rows"
GROUP_ROWS = 16384


def save_rows(rows: Rows, path: str | Path) -> None:
    """Write rows as Parquet, with what they are and where they came from in the file's metadata.

    Rows that came from memory have no file to go back to. For them all columns of the frame are written beside it
    (rows.original.parquet), or the dataset (folder rows.original).

    Raises
    ------
    UserError
        the place cannot be written, or the disk is full.

    >>> import tempfile
    >>> from thresher.rows import load
    >>> frame = pl.DataFrame({"text": ["hi", "bye", "hello"], "label": [1, 0, 1]})
    >>> rows = load(frame, text="text", label="label")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_rows(rows, Path(folder) / "rows.parquet")
    ...     again = read_rows(Path(folder) / "rows.parquet")
    >>> again.hash() == rows.hash(), again.classes
    (True, ('0', '1'))
    """
    path = Path(path)
    source = rows.source
    if source.memory is not None:
        source = _save_memory(rows, path)
    facts = {
        "text": rows.text,
        "label": rows.label,
        "groups": rows.groups,
        "classes": rows.classes,
        "integer_labels": rows.integer_labels,
        "source": {
            "format": source.format,
            "path": source.path,
            "sharded": source.sharded,
            "parts": [asdict(part) for part in source.parts],
        },
    }
    table = rows.table.to_arrow(compat_level=pl.CompatLevel.oldest())
    # Small row groups, so that who reads some of the rows decodes little more than those.
    write_table(path, table, {_KEY: json.dumps(facts).encode()}, GROUP_ROWS)


def check_rows(path: str | Path) -> None:
    """Refuse rows that are not as `save_rows` wrote them, without reading them into memory.

    Raises
    ------
    UserError
        one line that names the file, what is wrong with it, and the remedy.
    """
    check_table(Path(path), "the `thresher train` command that made it writes it again")


def _save_memory(rows: Rows, path: Path) -> Source:
    """Write what stands in memory beside the rows; paths are relative, so that a run folder can be moved."""
    memory = rows.source.memory
    if rows.source.format == "dataset":
        folder = path.with_suffix(".original")
        write_folder(folder, lambda temporary: write_dataset(memory, temporary))
        parts = dataset_parts(folder, len(rows))
        relative = tuple(
            Part(f"{folder.name}/{one.name}", one.name, one.size, one.digest, one.rows) for one in parts
        )
        return Source("dataset", folder.name, True, relative)
    original = path.with_suffix(f".original{path.suffix}")
    write(original, lambda temporary: pq.write_table(memory, temporary, compression="zstd"))
    one = part_of(original, original.name, original.read_bytes(), len(rows))
    return Source(
        "parquet", original.name, False, (Part(original.name, one.name, one.size, one.digest, one.rows),)
    )


def read_rows(path: str | Path) -> Rows:
    """Read rows that `save_rows` wrote.

    Raises
    ------
    UserError
        no such file, a damaged one, or not one of `save_rows`.
    """
    path = Path(path)
    check_rows(path)
    try:
        table = pq.read_table(path)
        facts = json.loads((table.schema.metadata or {})[_KEY])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not rows that thresher wrote; start anew with --out") from error
    frame = pl.from_arrow(table.replace_schema_metadata(None))
    assert isinstance(frame, pl.DataFrame)
    return Rows(
        table=frame,
        text=tuple(facts["text"]),
        label=facts["label"],
        groups=tuple(facts["groups"]),
        classes=tuple(facts["classes"]),
        source=_source(facts["source"], path.parent),
        integer_labels=facts["integer_labels"],
    )


def source_of(path: Path) -> Source:
    """Where rows that `save_rows` wrote, and that have been checked, came from, without reading them."""
    return _source(json.loads(metadata(path)[_KEY])["source"], path.parent)


def _source(facts: dict[str, Any], folder: Path) -> Source:
    # Joining an absolute path to a folder gives the absolute path.
    parts = [{**part, "path": str(folder.resolve() / part["path"])} for part in facts["parts"]]
    return Source(facts["format"], facts["path"], facts["sharded"], tuple(Part(**part) for part in parts))
