"""Save rows to a run folder as Parquet, and read them back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.errors import UserError
from thresher.rows.origin import dataset_parts, part_of
from thresher.rows.read.memory import write_dataset
from thresher.rows.table import HeldOut, Part, Rows, Source, Task
from thresher.run.files import write, write_folder
from thresher.run.integrity import ROWS_HASH, check_table, metadata, write_blocks
from thresher.run.run import TRAIN_AGAIN

_KEY = b"thresher.rows"
_SELECTED = "\x1fsource row"  # a column that only rows with `Source.selected` have
GROUP_ROWS = 16384


class _SavedHeldOut(TypedDict):
    rows: list[int]
    share: float
    too_small: list[str]


class _SavedSource(TypedDict):
    format: str
    path: str
    sharded: bool
    parts: list[dict[str, object]]
    held_out: NotRequired[_SavedHeldOut]


class _Saved(TypedDict):
    """What the metadata of the file says about its rows."""

    text: tuple[str, ...]
    label: str
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    integer_labels: bool
    source: _SavedSource
    task: NotRequired[Task]


def save_rows(rows: Rows, path: str | Path) -> None:
    """Write rows as Parquet, with a description of the rows and their source in the metadata of the file.

    Rows that were loaded from memory have no file to write back from, so the whole frame is saved beside them
    (rows.original.parquet), or the whole dataset (folder rows.original).

    Raises UserError: the file cannot be written, or the disk is full.

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
    source = rows.source if rows.source.memory is None else _save_memory(rows, path)
    saved: _Saved = {
        "text": rows.text,
        "label": rows.label,
        "groups": rows.groups,
        "classes": rows.classes,
        "integer_labels": rows.integer_labels,
        "task": rows.task,
        "source": {
            "format": source.format,
            "path": source.path,
            "sharded": source.sharded,
            "parts": [asdict(part) for part in source.parts],
        },
    }
    if held_out := rows.source.held_out:
        saved["source"]["held_out"] = {
            "rows": held_out.rows.tolist(),
            "share": held_out.share,
            "too_small": list(held_out.too_small),
        }
    about = {_KEY: json.dumps(saved).encode(), ROWS_HASH: rows.hash().encode()}
    write_blocks(path, _blocks(rows), about)


def _blocks(rows: Rows) -> Iterator[pl.DataFrame]:
    """The table to save. Small row groups: reading some of the rows decodes little more than those."""
    table, selected = rows.table, rows.source.selected
    if selected is not None:
        table = table.with_columns(pl.Series(_SELECTED, selected, pl.Int64))
    yield from table.iter_slices(GROUP_ROWS) if table.height else [table]


def _save_memory(rows: Rows, path: Path) -> Source:
    """Save data from memory beside the rows. Paths are relative, so that the run folder can be moved."""
    memory = rows.source.memory
    assert memory is not None
    if rows.source.format == "dataset":
        folder = path.with_suffix(".original")
        write_folder(folder, lambda temporary: write_dataset(memory, temporary))
        parts = dataset_parts(folder, len(memory))
        return Source(
            "dataset",
            folder.name,
            True,
            tuple(replace(part, path=f"{folder.name}/{part.name}") for part in parts),
        )
    original = path.with_suffix(f".original{path.suffix}")
    write(original, lambda temporary: pq.write_table(memory, temporary, compression="zstd"))
    part = part_of(original, original.name, original.read_bytes(), len(memory))
    return Source("parquet", original.name, False, (replace(part, path=original.name),))


def check_rows(path: str | Path) -> None:
    """Verify the checksum of a file that `save_rows` wrote, without loading it.

    Raises UserError: one line that names the file, what is wrong with it, and the remedy.
    """
    check_table(Path(path), TRAIN_AGAIN)


def read_rows(path: str | Path) -> Rows:
    """Read rows that `save_rows` wrote.

    Raises UserError: the file is missing or damaged, or was not written by `save_rows`.
    """
    path = Path(path)
    check_rows(path)
    try:
        table = pq.read_table(path)
        saved: _Saved = json.loads((table.schema.metadata or {})[_KEY])
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise UserError(f"{path}: not rows that thresher wrote; start again with another --out") from error
    frame = pl.from_arrow(table.replace_schema_metadata(None))
    assert isinstance(frame, pl.DataFrame)
    source = _source(saved["source"], path.parent)
    if _SELECTED in frame.columns:
        source = replace(source, selected=frame[_SELECTED].to_numpy())
        frame = frame.drop(_SELECTED)
    return Rows(
        table=frame,
        text=tuple(saved["text"]),
        label=saved["label"],
        groups=tuple(saved["groups"]),
        classes=tuple(saved["classes"]),
        source=source,
        integer_labels=saved["integer_labels"],
        task=saved.get("task", "label"),
    )


def source_of(path: Path) -> Source:
    """The source of saved rows, without loading the rows.

    Raises UserError: the file is missing or damaged.
    """
    check_rows(path)
    saved: _Saved = json.loads(metadata(path)[_KEY])
    return _source(saved["source"], path.parent)


def _source(saved: _SavedSource, folder: Path) -> Source:
    parts = [Part(**part) for part in saved["parts"]]  # type: ignore[arg-type]
    # Joining an absolute path to a folder gives the absolute path.
    placed = tuple(replace(part, path=str(folder.resolve() / part.path)) for part in parts)
    found = saved.get("held_out")
    held_out = (
        HeldOut(np.array(found["rows"], np.int64), found["share"], tuple(found["too_small"]))
        if found
        else None
    )
    return Source(saved["format"], saved["path"], saved["sharded"], placed, held_out=held_out)
