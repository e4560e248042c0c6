"""Write kept and dropped rows in the format, columns and order of the input."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Sequence
from itertools import compress
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from thresher.arrow import filtered
from thresher.errors import UserError
from thresher.rows.origin import check_unchanged
from thresher.rows.read import arrow, delimited, json_array, json_lines, memory
from thresher.rows.read.raw import COMPRESSED, compressed, content, is_plain
from thresher.rows.read.sheet import Pieces
from thresher.rows.table import ID, Part, Rows, Source
from thresher.run.files import write, write_folder
from thresher.wording import listed, shown

Keep = set[str] | frozenset[str] | NDArray[np.bool_] | Sequence[bool] | pl.Series
Mask = NDArray[np.bool_]

_SPLITTERS: dict[str, Callable[[bytes, str], Pieces]] = {
    "jsonl": json_lines.split,
    "json": json_array.split,
    "csv": delimited.split_csv,
    "tsv": delimited.split_tsv,
}
# Files that `datasets` writes when it saves a dataset or caches a map.
_OF_DATASETS = re.compile(r"data-\d+-of-\d+\.arrow|cache-\w+\.arrow|dataset_info\.json|state\.json")


def write_back(rows: Rows, keep: Keep, kept_path_stem: str | Path) -> tuple[Path, Path]:
    """Write the kept rows and the dropped rows in the format, columns and order of the input.

    Text formats (JSONL, JSON, CSV, TSV) keep the bytes of every record, the header and the byte order mark; blank lines
    between records are dropped. Parquet keeps schema, metadata and compression. Shards become a folder of shards with
    the same names, a dataset becomes a saved dataset folder, a frame becomes a Parquet file. Compressed files stay
    compressed. Rows that `load` left out (`where`, `skip_unseen`) are in neither file; rows that were held out are kept.

    Parameters
    ----------
    keep
        the ids to keep, or one boolean per row.
    kept_path_stem
        the path of the kept rows without an extension, e.g. RUN/kept. The dropped rows are written beside it: "kept" in
        the name becomes "dropped"; a name without "kept" gets the suffix "-dropped".

    Returns
    -------
    (kept, dropped)
        the two paths.

    Raises UserError: the source is missing or has changed since it was read, an id is unknown, a path would overwrite the
    source or a folder that contains other files, or a file cannot be written. No partial file is left behind.

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
    stem = Path(kept_path_stem)
    kept, dropped = (stem.with_name(name) for name in names_of(source, stem.name))
    for path in (kept, dropped):
        _protect_source(path, source)
        _protect_others(path, source)
    chosen, others = _over_all(source, mask), _over_all(source, ~mask)
    if source.held_out is not None:
        chosen[source.held_out.rows] = True
    for path, written in ((kept, chosen), (dropped, others)):
        _write(source, written, path)
    return kept, dropped


def names_of(source: Source, stem: str) -> tuple[str, str]:
    """The names of the kept and of the dropped rows of a source, given that of the kept ones without its ending.

    >>> names_of(Source("csv", parts=(Part("/data/a.csv.gz", "a.csv.gz", 20, "12ab", 2),)), "kept")
    ('kept.csv.gz', 'dropped.csv.gz')
    """
    ending = _ending(source)
    other = stem.replace("kept", "dropped") if "kept" in stem else f"{stem}-dropped"
    return stem + ending, other + ending


def _mask(rows: Rows, keep: Keep) -> Mask:
    if isinstance(keep, (set, frozenset)):
        unknown = sorted(keep - set(rows.table[ID].to_list()))
        if unknown:
            raise UserError(
                f"{rows.source.name}: no rows with the ids {listed(unknown, 5)}; use the ids of these rows"
            )
        return rows.table[ID].is_in(list(keep)).to_numpy()
    mask = np.asarray(keep)
    if mask.shape != (len(rows),) or mask.dtype != np.bool_:
        raise UserError(
            f"{rows.source.name}: keep has shape {mask.shape} and type {mask.dtype}; give one boolean for each of the"
            f" {len(rows):,} rows, or a set of ids"
        )
    return mask


def _over_all(source: Source, mask: Mask) -> Mask:
    """A mask over the loaded rows as a mask over all rows of the source."""
    if source.selected is None:
        return mask
    read = sum(part.rows for part in source.parts) if source.memory is None else len(source.memory)
    full = np.zeros(read, np.bool_)
    full[source.selected] = mask
    return full


def _ending(source: Source) -> str:
    if source.format == "frame":
        return ".parquet"
    if source.format == "dataset" or source.sharded:
        return ""
    path = Path(source.parts[0].path)
    return "".join(path.suffixes[-2:]) if path.suffix.lower() in COMPRESSED else path.suffix


def _protect_source(path: Path, source: Source) -> None:
    """Refuse to overwrite the files that the rows came from."""
    target = path.resolve()
    for part in source.parts:
        if target in (origin := Path(part.path).resolve(), *origin.parents):
            raise UserError(f"{path}: would overwrite the source of the rows; choose another path")


def _protect_others(path: Path, source: Source) -> None:
    """Refuse to replace a folder that contains files other than those of an earlier `write_back`."""
    if not path.is_dir() or _ending(source):
        return
    written = {part.name for part in source.parts}
    for file in sorted(file for file in path.rglob("*") if not file.is_dir()):
        name = file.relative_to(path).as_posix()
        ours = _OF_DATASETS.fullmatch(name) if source.format == "dataset" else name in written
        if not ours and not file.name.startswith("."):
            raise UserError(
                f"{path}: contains '{shown(name)}', which is not a file of these rows; choose another path"
            )


def _write(source: Source, mask: Mask, path: Path) -> None:
    if source.format == "dataset":
        write_folder(path, lambda temporary: _write_dataset(source, mask, temporary))
    elif source.format == "frame":
        write(path, lambda temporary: pq.write_table(filtered(source.memory, mask), temporary))
    elif source.sharded:
        write_folder(path, lambda temporary: _write_shards(source, mask, temporary))
    else:
        write(path, lambda temporary: _write_file(source.format, source.parts[0], mask, temporary))


def _write_dataset(source: Source, mask: Mask, folder: Path) -> None:
    dataset = source.memory
    if dataset is None:
        dataset = memory.open_dataset(Path(source.parts[0].path).parent)
    memory.write_dataset(dataset.select(np.flatnonzero(mask)), folder)


def _write_shards(source: Source, mask: Mask, folder: Path) -> None:
    start = 0
    for part in source.parts:
        (folder / part.name).parent.mkdir(parents=True, exist_ok=True)
        _write_file(source.format, part, mask[start : start + part.rows], folder / part.name)
        start += part.rows


def _write_file(form: str, part: Part, mask: Mask, path: Path) -> None:
    if form == "parquet":
        arrow.write_parquet(Path(part.path), mask, path)
    elif form == "jsonl" and is_plain(Path(part.path)):
        _write_lines(Path(part.path), mask, path)
    else:
        raw = Path(part.path).read_bytes()
        pieces = _SPLITTERS[form](content(raw, part.path), part.path)
        path.write_bytes(compressed(pieces.pick(mask), like=raw))


def _write_lines(source: Path, mask: Mask, path: Path) -> None:
    """The kept lines of a file that is read line by line."""
    with source.open("rb") as file, path.open("wb") as out:
        start = file.read(len(codecs.BOM_UTF8))
        if start == codecs.BOM_UTF8:
            out.write(start)
        else:
            file.seek(0)
        records = (line for line in file if json_lines.is_record(line))
        out.writelines(compress(records, mask.tolist()))
