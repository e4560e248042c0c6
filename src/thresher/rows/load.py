"""Load labelled texts from any supported source into one checked table."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from thresher.errors import UserError
from thresher.rows import validate
from thresher.rows.classes import Places, classes_of, given_classes, labels_of, with_known_labels
from thresher.rows.find import expanded, find, names_of
from thresher.rows.ids import content_id_column
from thresher.rows.origin import bytes_digest, dataset_parts
from thresher.rows.read import arrow, delimited, json_array, json_lines, memory
from thresher.rows.read.raw import Lines, content, is_plain
from thresher.rows.read.sheet import Sheet
from thresher.rows.table import ID, Part, Rows, Source
from thresher.rows.where import conditions, matching, refuse_mixed_splits
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


def load(
    source: Data,
    *,
    text: str | Iterable[str] | None,
    label: str,
    id: str | None = None,
    groups: str | Iterable[str] | None = (),
    classes: Sequence[str] | None = None,
    where: str | Iterable[str] = (),
    skip_unseen: bool = False,
) -> Rows:
    """Read and check labelled texts.

    Parameters
    ----------
    source
        a path to a .jsonl, .ndjson, .json, .csv, .tsv or .parquet file (text formats also with .gz or .zst); a folder or
        a glob of such files, read in natural order (part-2 before part-10); a folder saved by `datasets`; a
        `datasets.Dataset`; a pandas or polars frame; an Arrow table.
    text
        the name of the text column, or of two for pairs of texts.
    label
        the name of the label column: strings, integers or booleans (a `datasets` ClassLabel becomes its names).
    id
        the name of an id column; without it, ids are made from the content (`content_ids`).
    groups
        the names of columns to report by (source, domain, ...); a missing value is the empty string.
    classes
        for test rows, the class names of the training rows: other labels are an error.
    where
        conditions on columns, such as "split=train" or "label!=-"; only rows that meet all of them are loaded. A missing
        value equals the empty string.
    skip_unseen
        skip and report the rows whose label is not in `classes`, instead of refusing them.

    Returns
    -------
    Rows
        in input order. Empty texts are kept; the audit counts them.

    Raises
    ------
    UserError
        one line that names file, line or column and the remedy.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "train.csv"
    ...     _ = path.write_text("text,label\\nplay jazz,music\\nstop,music\\nnine am,alarm\\n")
    ...     rows = load(path, text="text", label="label")
    >>> len(rows), rows.classes, rows.labels().tolist()
    (3, ('alarm', 'music'), [1, 1, 0])
    """
    texts, names = _names(text, "text"), _names(groups, "groups")
    _check_names(texts, label, id, names)
    filters = conditions(where)
    filtered = [one.column for one in filters]
    wanted = list(dict.fromkeys((*texts, label, *names, *([id] if id else []), *filtered)))
    sheets, origin = _read(source, wanted)
    if not any(map(len, sheets)):
        raise UserError(f"{origin.name}: no rows; give a source with labelled rows")
    masks = [matching(sheet, filters) for sheet in sheets]
    if not any(mask.any() for mask in masks):
        raise UserError(f"{origin.name}: no row matches {' and '.join(map(str, filters))}; check the values")
    sheets = [sheet.take(mask) for sheet, mask in zip(sheets, masks, strict=True)]
    refuse_mixed_splits(sheets, wanted, origin.name, ", or load them all with --group {}")
    sheets = [sheet for sheet in sheets if len(sheet)]
    place = _places(sheets)

    columns = {column: pl.concat([validate.texts(sheet, column) for sheet in sheets]) for column in texts}
    columns[label], kind = labels_of(sheets, label, place)
    columns |= {column: pl.concat([validate.group(sheet, column) for sheet in sheets]) for column in names}
    given = None if id is None else _given_ids(sheets, id, place)
    selected = np.concatenate(masks)
    if classes is not None and skip_unseen:
        seen = with_known_labels(columns[label], classes, origin.name)
        columns = {name: column.filter(seen) for name, column in columns.items()}
        given = None if given is None else given.filter(seen)
        selected[selected] = seen.to_numpy()
    if classes is None:
        known = classes_of(columns[label], kind, origin.name)
    else:
        known = given_classes(columns[label], classes, origin.name, place)
    if given is None:
        given = content_id_column(zip(*(columns[column] for column in texts), strict=True), columns[label])
    if origin.format == "frame":
        origin = Source("frame", memory=memory.as_arrow(origin.memory))
    if not selected.all():
        origin = memory.select(origin, selected)
    return Rows(
        table=pl.DataFrame({ID: given, **columns}),
        text=texts,
        label=label,
        groups=names,
        classes=known,
        source=origin,
        integer_labels=kind == "integer",
    )


def _names(given: str | Iterable[str] | None, what: str) -> tuple[str, ...]:
    """One or several column names as a tuple."""
    if given is None or isinstance(given, str):
        return () if given is None else (given,)
    try:
        return tuple(given)
    except TypeError as error:
        raise UserError(
            f"{what} is {shown(given)}, of type {type(given).__name__}; give the name of a column, or a list of names"
        ) from error


def _check_names(texts: tuple[str, ...], label: str, id: str | None, groups: tuple[str, ...]) -> None:
    if not 1 <= len(texts) <= 2:
        raise UserError(
            f"{len(texts)} text columns given ({listed(texts)}); give one, or two for pairs of texts"
        )
    names = (*texts, label, *groups)
    for name in (*names, *([] if id is None else [id])):
        if not isinstance(name, str):
            raise UserError(
                f"a column is given as {shown(name)}, of type {type(name).__name__}; give its name as a string,"
                f" '{shown(name)}'"
            )
    if ID in names:
        raise UserError(
            f"column '{ID}' cannot be text, label or group: this name is used for the row ids; rename it in the data"
        )
    for name in names:
        if names.count(name) > 1:
            rest = "; results are reported by label anyway" if name == label and name in groups else ""
            raise UserError(f"column '{shown(name)}' is given twice; name it once{rest}")
    if id in names:
        raise UserError(
            f"column '{shown(id)}' is given both as id and as text, label or group; use another id column"
        )


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


def _given_ids(sheets: list[Sheet], column: str, place: Places) -> pl.Series:
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
