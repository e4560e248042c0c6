"""The kept rows and the dropped ones, in the format they came in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from thresher.arrow import filtered
from thresher.errors import UserError
from thresher.rows.origin import check_unchanged
from thresher.rows.read import arrow, delimited, json_array, json_lines, memory
from thresher.rows.read.sheet import Pieces
from thresher.rows.table import ID, Part, Rows, Source
from thresher.run.files import write, write_folder
from thresher.wording import listed, shown

_SPLITTERS: dict[str, Callable[[bytes, str], Pieces]] = {
    "jsonl": json_lines.split,
    "json": json_array.split,
    "csv": delimited.split_csv,
    "tsv": delimited.split_tsv,
}
# What `datasets` writes as it saves and as it maps.
_OF_DATASETS = re.compile(r"data-\d+-of-\d+\.arrow|cache-\w+\.arrow|dataset_info\.json|state\.json")


def write_back(
    rows: Rows,
    keep: set[str] | frozenset[str] | NDArray[np.bool_] | Sequence[bool] | pl.Series,
    kept_path_stem: str | Path,
) -> tuple[Path, Path]:
    """Write the kept rows and the dropped rows in the format, columns and order of the input.

    Text formats (JSONL, JSON, CSV, TSV) keep the bytes of every record, the header and the byte order mark; blank lines
    between records go. Parquet keeps schema, metadata and compression. Shards give a folder of shards of the same names,
    a dataset gives a saved dataset folder, a frame gives a Parquet file.

    Parameters
    ----------
    keep
        the ids to keep, or a truth value per row.
    kept_path_stem
        where to write the kept rows, without an ending, e.g. RUN/kept. The dropped ones stand beside it: "kept" in the
        name becomes "dropped", and a name without it gets "-dropped" after it.

    Returns
    -------
    (kept, dropped)
        the two paths.

    Raises
    ------
    UserError
        the source is gone or has changed since it was read, an id is unknown, a path would overwrite the source or a
        folder with files of somebody else, or the place cannot be written. Nothing is half written.

    >>> import tempfile
    >>> from thresher.rows import load
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "train.jsonl"
    ...     _ = path.write_text('{"t": "hi",  "l": 1}\\n{"t": "bye", "l": 0}\\n{"t": "hello", "l": 1}\\n')
    ...     rows = load(path, text="t", label="l")
    ...     kept, dropped = write_back(rows, [True, False, False], Path(folder) / "kept")
    ...     kept.name, kept.read_text(), dropped.name
    ('kept.jsonl', '{"t": "hi",  "l": 1}\\n', 'dropped.jsonl')
    """
    mask = _mask(rows, keep)
    source = rows.source
    for part in source.parts:
        check_unchanged(part)
    ending = _ending(source)
    stem = Path(kept_path_stem)
    other = stem.name.replace("kept", "dropped") if "kept" in stem.name else f"{stem.name}-dropped"
    kept, dropped = stem.with_name(stem.name + ending), stem.with_name(other + ending)
    for path in (kept, dropped):
        _spare_source(path, source)
        _spare_others(path, source)
    for path, chosen in ((kept, mask), (dropped, ~mask)):
        _write(source, chosen, path)
    return kept, dropped


def _mask(rows: Rows, keep: Any) -> NDArray[np.bool_]:
    if isinstance(keep, (set, frozenset)):
        unknown = sorted(keep - set(rows.table[ID].to_list()))
        if unknown:
            raise UserError(
                f"{rows.source.name}: no rows of the ids {listed(unknown, 5)}; take ids from these rows"
            )
        return rows.table[ID].is_in(list(keep)).to_numpy()
    mask = np.asarray(keep)
    if mask.shape != (len(rows),) or mask.dtype != np.bool_:
        raise UserError(
            f"{rows.source.name}: keep has shape {mask.shape} and type {mask.dtype}; give a truth value for each of the"
            f" {len(rows):,} rows, or a set of ids"
        )
    return mask


def _ending(source: Source) -> str:
    if source.format == "frame":
        return ".parquet"
    if source.format == "dataset" or source.sharded:
        return ""
    return Path(source.parts[0].path).suffix


def _spare_source(path: Path, source: Source) -> None:
    """Writing the result must not destroy what it is made from."""
    target = path.resolve()
    for part in source.parts:
        if target in (origin := Path(part.path).resolve(), *origin.parents):
            raise UserError(f"{path}: would overwrite the rows' own source; choose another place")


def _spare_others(path: Path, source: Source) -> None:
    """A folder takes the place of one that was written before, never of one with files of somebody else."""
    if not path.is_dir() or _ending(source):
        return
    written = {part.name for part in source.parts}
    for file in sorted(file for file in path.rglob("*") if not file.is_dir()):
        name = file.relative_to(path).as_posix()
        ours = _OF_DATASETS.fullmatch(name) if source.format == "dataset" else name in written
        if not ours and not file.name.startswith("."):
            raise UserError(
                f"{path}: holds '{shown(name)}', which is none of these rows' files; choose another place"
            )


def _write(source: Source, mask: NDArray[np.bool_], path: Path) -> None:
    if source.format == "dataset":
        write_folder(path, lambda temporary: _write_dataset(source, mask, temporary))
    elif source.format == "frame":
        write(path, lambda temporary: pq.write_table(filtered(source.memory, mask), temporary))
    elif source.sharded:
        write_folder(path, lambda temporary: _write_shards(source, mask, temporary))
    else:
        write(path, lambda temporary: _write_file(source.format, source.parts[0], mask, temporary))


def _write_dataset(source: Source, mask: NDArray[np.bool_], folder: Path) -> None:
    dataset = (
        source.memory if source.memory is not None else memory.open_dataset(Path(source.parts[0].path).parent)
    )
    memory.write_dataset(dataset.select(np.flatnonzero(mask)), folder)


def _write_shards(source: Source, mask: NDArray[np.bool_], folder: Path) -> None:
    for part, chosen in _slices(source.parts, mask):
        (folder / part.name).parent.mkdir(parents=True, exist_ok=True)
        _write_file(source.format, part, chosen, folder / part.name)


def _slices(parts: tuple[Part, ...], mask: NDArray[np.bool_]) -> Iterator[tuple[Part, NDArray[np.bool_]]]:
    start = 0
    for part in parts:
        yield part, mask[start : start + part.rows]
        start += part.rows


def _write_file(form: str, part: Part, mask: NDArray[np.bool_], path: Path) -> None:
    if form == "parquet":
        arrow.write_parquet(Path(part.path), mask, path)
    else:
        path.write_bytes(_SPLITTERS[form](Path(part.path).read_bytes(), part.path).pick(mask))
