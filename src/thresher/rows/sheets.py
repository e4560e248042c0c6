"""Find the rows of a source: the wanted columns of each file or frame, and the rows that meet the conditions."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from thresher.errors import UserError
from thresher.progress import warn
from thresher.rows import validate
from thresher.rows.classes import Places
from thresher.rows.find import expanded, find, names_of
from thresher.rows.origin import bytes_digest, dataset_parts
from thresher.rows.read import arrow, delimited, json_array, json_lines, memory
from thresher.rows.read.raw import Lines, content, is_plain
from thresher.rows.read.sheet import Sheet
from thresher.rows.table import Part, Source
from thresher.rows.where import Condition, conditions, matching, refuse_mixed_splits
from thresher.run.files import file_digest
from thresher.wording import listed, shown

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame

    Data: TypeAlias = str | Path | pl.DataFrame | pl.LazyFrame | DataFrame | pa.Table | Dataset

_READERS: dict[str, Callable[[bytes, str, Sequence[str]], Sheet]] = {
    "jsonl": json_lines.read,
    "json": json_array.read,
    "csv": delimited.read_csv,
    "tsv": delimited.read_tsv,
    "parquet": arrow.read_parquet,
}


OR_ELSE = ", or load them all with --group {}"


class Sheets(NamedTuple):
    """The sheets with rows, the source, which of its rows (rows of the source,) meet the conditions, and the place of a row."""

    sheets: list[Sheet]
    origin: Source
    selected: np.ndarray
    place: Places


def read_sheets(
    source: Data, columns: Iterable[str], where: str | Iterable[str], rows: str, or_else: str = OR_ELSE
) -> Sheets:
    """Read the columns of the rows that meet all conditions `where`; `rows` is what messages call them.

    `or_else` says what else to do with rows of several splits than choosing one; {} stands for their column.
    """
    filters = conditions(where)
    wanted = list(dict.fromkeys((*columns, *(one.column for one in filters))))
    sheets, origin = _read(source, wanted)
    if not any(map(len, sheets)):
        raise UserError(f"{origin.name}: no rows; give a source with {rows}")
    masks = [matching(sheet, filters) for sheet in sheets]
    if not any(mask.any() for mask in masks):
        raise UserError(f"{origin.name}: no row matches {' and '.join(map(str, filters))}; check the values")
    warn_of_idle(filters, sheets, origin.name)
    sheets = [sheet.take(mask) for sheet, mask in zip(sheets, masks, strict=True)]
    refuse_mixed_splits(sheets, wanted, origin.name, or_else)
    sheets = [sheet for sheet in sheets if len(sheet)]
    return Sheets(sheets, origin, np.concatenate(masks), _places(sheets))


def warn_of_idle(filters: Iterable[Condition], sheets: list[Sheet], name: str) -> None:
    """Warn of conditions that exclude a value which no row has: it may be misspelt."""
    for one in (one for one in filters if not one.equal):
        if all(matching(sheet, (one,)).all() for sheet in sheets):
            warn(f"{name}: where: {one} leaves no row out: no {one.column} is '{shown(one.value)}'")


def selected_rows(origin: Source, selected: np.ndarray) -> Source:
    """The source of the selected rows; a frame in memory is kept as Arrow."""
    if origin.format == "frame":
        origin = Source("frame", memory=memory.as_arrow(origin.memory))
    return origin if selected.all() else memory.select(origin, selected)


def _read(source: Data, wanted: list[str]) -> tuple[list[Sheet], Source]:
    """The wanted columns, one sheet per file, and the source."""
    match memory.kind(source):
        case "splits":
            splits = list(source)  # type: ignore[arg-type]
            raise UserError(
                f"the dataset: contains the splits {listed(splits)}; give one of them, e.g. ['{splits[0]}']"
            )
        case "dataset":
            return [memory.read_dataset(source, wanted)], Source("dataset", memory=source)
        case "arrow":
            return [arrow.read_table(source, "the table", wanted)], Source("frame", memory=source)
        case "polars" | "pandas":
            frame = _collected(source) if isinstance(source, pl.LazyFrame) else source
            return [memory.read_frame(frame, wanted)], Source("frame", memory=frame)
    if not isinstance(source, (str, Path)):
        raise UserError(
            f"rows cannot be read from an object of type {type(source).__name__}; give a path, a datasets.Dataset, or a"
            " pandas or polars frame"
        )
    try:
        return _read_path(source, wanted)
    except OSError as error:
        place = shown(error.filename or source, 1000)
        raise UserError(
            f"{place}: cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error


def _collected(frame: pl.LazyFrame) -> pl.DataFrame:
    try:
        return frame.collect()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"the lazy frame: cannot be collected ({shown(error, 120)})") from error


def _read_path(source: str | Path, wanted: list[str]) -> tuple[list[Sheet], Source]:
    folder = expanded(source)
    if memory.is_dataset_folder(folder):
        sheet = memory.read_dataset(memory.open_dataset(folder), wanted, shown(folder, 1000))
        return [sheet], Source("dataset", str(source), True, dataset_parts(folder.absolute(), len(sheet)))
    form, paths, sharded = find(source)
    sheets, parts = [], []
    for path, name in zip(paths, names_of([path.absolute() for path in paths]), strict=True):
        sheet, size, digest = _read_file(form, path, wanted)
        sheets.append(sheet)
        parts.append(Part(str(path.absolute()), name, size, digest, len(sheet)))
    return sheets, Source(form, str(source), sharded, tuple(parts))


def _read_file(form: str, path: Path, wanted: list[str]) -> tuple[Sheet, int, str]:
    """The wanted columns of a file, its size and the digest of its bytes; JSON lines and Parquet are not read as a whole."""
    name = shown(path, 1000)
    if form == "jsonl" and (lines := Lines.of(path, name)) is not None:
        with lines:
            return json_lines.read_lines(lines, name, wanted), lines.size, lines.digest
    if form == "parquet" and is_plain(path):
        return arrow.read_parquet_file(path, name, wanted), path.stat().st_size, file_digest(path)
    raw = path.read_bytes()
    return _READERS[form](content(raw, name), name, wanted), len(raw), bytes_digest(raw)


def _places(sheets: list[Sheet]) -> Places:
    """The location of the n-th row of all sheets together."""
    starts = [0, *accumulate(map(len, sheets))]

    def place(row: int) -> str:
        sheet = bisect_right(starts, row) - 1
        return sheets[sheet].place(row - starts[sheet])

    return place


def given_ids(sheets: list[Sheet], column: str, place: Places) -> pl.Series:
    """The ids of all sheets; duplicates are refused."""
    ids = pl.concat([validate.given_ids(sheet, column) for sheet in sheets])
    if ids.n_unique() < len(ids):
        row = (~ids.is_first_distinct()).arg_max() or 0
        one = ids[row]
        raise UserError(
            f"{place(row)}: duplicate id '{shown(one)}' (first at {place((ids == one).arg_max() or 0)}); make the ids unique, or"
            " leave out --id"
        )
    return ids
