"""Formats of one record a row: read from .jsonl, .csv, .tsv, .parquet or a saved dataset, written as .jsonl or .parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from thresher.errors import UserError
from thresher.nlu.rows import brackets, massive, pipe, slurp
from thresher.nlu.rows.checked import Parsed
from thresher.nlu.rows.table import BadRow, Utterance
from thresher.rows.find import find
from thresher.rows.read import arrow, delimited, json_lines, memory
from thresher.rows.read.raw import content
from thresher.rows.read.sheet import Sheet
from thresher.rows.where import Condition, matching, refuse_mixed_splits
from thresher.wording import listed, shown

# In the order in which their columns are looked for.
FORMATS: dict[str, ModuleType] = {"brackets": brackets, "pipe": pipe, "massive": massive, "slurp": slurp}
# Of every format: what `rasa` wrote into it, to be written back into a Rasa file.
_MORE = {"rasa": ("rasa",)}
_READERS: dict[str, Callable[[bytes, str, Any], Sheet]] = {
    "jsonl": json_lines.read,
    "csv": delimited.read_csv,
    "tsv": delimited.read_tsv,
    "parquet": arrow.read_parquet,
}


def read(source: Path, form: str | None, where: Iterable[Condition] = ()) -> Parsed:
    """The rows that meet the conditions, with their places; the format is told by its columns where it is not given.

    Raises UserError: no such file, no format has its columns, or rows of several splits.
    """
    wanted = [one.column for one in where]
    if memory.is_dataset_folder(source):
        dataset = memory.open_dataset(source)
        names = list(dataset.column_names)
        found = form or format_by(names, str(source))
        columns = [*_columns(found, names, str(source)), *wanted]
        sheets = [memory.read_dataset(dataset, list(dict.fromkeys(columns)), str(source))]
        return _chosen(sheets, found, where, str(source))
    kind, paths, _ = find(source)
    if kind not in _READERS:
        raise UserError(
            f"{source}: annotated rows are read from .jsonl, .csv, .tsv, .parquet, .conll or .yml"
        )
    sheets, found = [], form or ""
    for path in paths:
        raw = content(path.read_bytes(), str(path))
        names = _names(kind, raw, path)
        found = found or format_by(names, str(path))
        columns = [*_columns(found, names, str(path)), *wanted]
        sheets.append(_READERS[kind](raw, str(path), list(dict.fromkeys(columns))))
    return _chosen(sheets, found, where, str(source))


def _chosen(sheets: list[Sheet], form: str, where: Iterable[Condition], name: str) -> Parsed:
    """The rows of all sheets that meet the conditions."""
    chosen = [sheet.take(matching(sheet, where)) for sheet in sheets]
    if not any(map(len, chosen)) and any(map(len, sheets)):
        raise UserError(f"{name}: no row matches {' and '.join(map(str, where))}; check the values")
    refuse_mixed_splits(chosen, [one.column for one in where], name)
    return [parsed for sheet in chosen for parsed in _rows(sheet.as_lists(), form)]


def format_by(names: Iterable[str], where: str) -> str:
    """The first format whose columns are all there.

    >>> format_by(["utt", "annot_utt", "scenario", "intent"], "massive.jsonl")
    'massive'
    """
    names = list(names)
    for form, module in FORMATS.items():
        if all(set(aliases) & set(names) for aliases in module.COLUMNS.values()):
            return form
    wanted = "; ".join(
        f"{form}: {', '.join(aliases[0] for aliases in module.COLUMNS.values())}"
        for form, module in FORMATS.items()
    )
    raise UserError(f"{where}: columns {listed(names)} are those of no format; there are {wanted}")


def _names(kind: str, raw: bytes, path: Path) -> list[str]:
    if kind == "parquet":
        # An unreadable file is told by the reader.
        try:
            return list(pq.read_schema(path).names)
        except Exception as error:
            raise UserError(f"{path}: not a readable Parquet file; write it again") from error
    body = raw.removeprefix(b"\xef\xbb\xbf")
    if kind == "jsonl":
        names: dict[str, None] = {}
        for line in body.split(b"\n"):
            try:
                names |= dict.fromkeys(json.loads(line))
            except (ValueError, TypeError, RecursionError):
                continue
        return list(names)
    return delimited.columns(raw, str(path), delimiter="\t" if kind == "tsv" else ",")


def _columns(form: str, names: list[str], where: str) -> list[str]:
    """The columns of a format that a file has.

    Raises UserError: it lacks one that the format needs.
    """
    module = FORMATS[form]
    for aliases in module.COLUMNS.values():
        if not set(aliases) & set(names):
            raise UserError(
                f"{where}: no column '{aliases[0]}', which format {form} needs; it has {listed(names)}"
            )
    return [
        name
        for aliases in (module.COLUMNS | module.OPTIONAL | _MORE).values()
        for name in aliases
        if name in names
    ]


def _rows(sheet: Sheet, form: str) -> list[tuple[str, Callable[[], Utterance]]]:
    module = FORMATS[form]
    names = {
        key: next(name for name in aliases if name in sheet.columns)
        for key, aliases in (module.COLUMNS | module.OPTIONAL | _MORE).items()
        if set(aliases) & set(sheet.columns)
    }
    lists = getattr(module, "LISTS", ())

    def parse(at: int) -> Utterance:
        record = {key: _value(sheet.columns[name][at], name, key in lists) for key, name in names.items()}
        for key in module.COLUMNS:
            if record[key] is None:
                raise BadRow(f"no {names[key]}")
        row: Utterance = module.from_record(record)
        return replace(row, rasa=record.get("rasa") or "")

    return [(sheet.place(at), partial(parse, at)) for at in range(len(sheet))]


def _value(value: Any, name: str, is_list: bool) -> Any:
    """A text, or the list that a format has in this place; ids and class names may be numbers."""
    if value is None:
        return None
    fits = isinstance(value, list) if is_list else not isinstance(value, bool | bytes | dict | list)
    if not fits:
        raise BadRow(f"column '{name}' holds '{shown(value)}', not {'a list' if is_list else 'text'}")
    return value if is_list else str(value)


def write(rows: Iterable[Utterance], form: str, path: Path) -> Callable[[Path], object]:
    """What writes the rows to a path of that ending; the columns source and rasa are written where any row has a value.

    Raises UserError: another ending, or a row that the format cannot hold, with its id.
    """
    if path.suffix not in (".jsonl", ".parquet"):
        raise UserError(f"{path}: format {form} is written as .jsonl or .parquet")
    records: list[dict[str, object]] = []
    for row in rows:
        try:
            records.append(FORMATS[form].to_record(row) | {"rasa": row.rasa})
        except BadRow as error:
            raise UserError(f"row '{shown(row.id)}': {error}; choose another format") from error
    for column in ("source", "rasa"):
        if not any(record[column] for record in records):
            records = [{key: value for key, value in record.items() if key != column} for record in records]
    if path.suffix == ".parquet":
        return pl.DataFrame(records).write_parquet
    text = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    return lambda place: place.write_text(text, encoding="utf-8")


def example(form: str) -> Mapping[str, object]:
    """One record of a format, for messages and documentation.

    >>> example("pipe")["piped"]
    'wake me at nine|time am|time'
    """
    from thresher.nlu.rows.table import Slot

    row = Utterance("wake me at nine am", "alarm", "set", (Slot(11, 18, "time"),), "historical", "1")
    record: dict[str, object] = FORMATS[form].to_record(row)
    return record
