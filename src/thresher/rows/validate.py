"""Check the values of one column and convert them to strings; errors name the row."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal

import polars as pl

from thresher.errors import UserError
from thresher.rows.read.sheet import Sheet
from thresher.wording import shown

LabelKind = Literal["string", "integer", "boolean", "untyped"]  # untyped: from CSV or TSV

_WORDS: dict[type, str] = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "a list",
    dict: "an object",
}
_LABELS: dict[type, LabelKind] = {str: "string", int: "integer", bool: "boolean"}
# Python parses integers of at most 4,300 digits; a label of more than a hundred is treated as a name.
WHOLE = re.compile(r"(0|-?[1-9][0-9]{0,14})\.0+")  # 1.0, as pandas writes an integer label
INTEGER = re.compile(r"0|-?[1-9][0-9]{0,99}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def texts(sheet: Sheet, column: str) -> pl.Series:
    """A text column. Empty texts pass; the audit counts them.

    Raises UserError: a missing text, or one that is not a string.
    """
    values = sheet.columns[column]
    if isinstance(values, pl.Series):
        return values.alias(column)
    if not set(map(type, values)) <= {str}:
        _reject_missing(sheet, column, "text")
        place, value = _first(sheet, column, lambda value: not isinstance(value, str))
        raise UserError(
            f"{place}: column '{shown(column)}' contains {_word(value)} ({shown(value)}), not text;"
            " name the text column, or write the values as strings"
        )
    return _series(sheet, column, values)


def labels(sheet: Sheet, column: str) -> tuple[pl.Series, LabelKind]:
    """A label column as strings, and the kind of the labels.

    Raises UserError: a missing or empty label, a decimal number, a list, or labels of mixed types.
    """
    if isinstance(cells := sheet.columns[column], pl.Series):
        return _named_labels(sheet, column, cells)
    values = _whole_numbers(cells)
    kinds = {_LABELS.get(type(value)) for value in values}
    if None in kinds or len(kinds) > 1:
        _reject_missing(sheet, column, "label")
        first = type(values[0])
        place, value = _first(
            sheet, column, lambda value: type(value) not in _LABELS or type(value) is not first
        )
        wrong = f"{place}: label {shown(value)} (column '{shown(column)}') is {_word(value)}"
        if type(value) not in _LABELS:
            raise UserError(f"{wrong}; labels are strings or integers")
        raise UserError(f"{wrong}, the labels before it are {_LABELS[first]}s; write all labels as one type")
    kind = _LABELS[type(values[0])]
    if kind != "string":
        return pl.Series(column, [str(value).lower() for value in values], dtype=pl.String), kind
    empty = sum(not value.strip() for value in values)
    if empty:
        place, _ = _first(sheet, column, lambda value: not value.strip())
        raise UserError(f"{place}: empty label (column '{shown(column)}'); {_drop(column, empty)}")
    return _series(sheet, column, values), kind if sheet.typed else "untyped"


def _named_labels(sheet: Sheet, column: str, values: pl.Series) -> tuple[pl.Series, LabelKind]:
    """`labels` of a column of strings."""
    blank = [one for one in values.unique().to_list() if not one.strip()]
    if blank:
        empty = values.is_in(blank)
        raise UserError(
            f"{sheet.place(empty.arg_max() or 0)}: empty label (column '{shown(column)}'); {_drop(column, int(empty.sum()))}"
        )
    return values.alias(column), "string" if sheet.typed else "untyped"


def _whole_numbers(values: list[Any]) -> list[Any]:
    """Decimal numbers as integers if all are whole: pandas stores integers with missing values as 1.0 and 0.0."""
    if {float} <= set(map(type, values)) <= {float, int} and all(
        float(value).is_integer() for value in values
    ):
        return list(map(int, values))
    return values


def untyped_kind(distinct: set[str]) -> tuple[LabelKind, str | None]:
    """The kind of labels from a format without types, and the first decimal number if all labels are numbers.

    >>> untyped_kind({"0", "1"}), untyped_kind({"1", "2.5"}), untyped_kind({"1", "a"})
    (('integer', None), ('string', '2.5'), ('string', None))
    """
    if all(map(INTEGER.fullmatch, distinct)):
        return "integer", None
    if all(map(_NUMBER.fullmatch, distinct)):
        return "string", min((label for label in distinct if re.search("[.eE]", label)), default=None)
    return "string", None


def given_ids(sheet: Sheet, column: str) -> pl.Series:
    """An id column of strings or integers, as strings. Uniqueness is checked by the caller, over all shards.

    Raises UserError: a missing or empty id, or one that is neither a string nor an integer.
    """
    values = sheet.columns[column]
    if isinstance(values, pl.Series) and not (values == "").any():
        return values.alias(column)
    if not set(map(type, values)) <= {str, int}:
        _reject_missing(sheet, column, "id")
        place, value = _first(sheet, column, lambda value: type(value) not in (str, int))
        raise UserError(
            f"{place}: id {shown(value)} (column '{shown(column)}') is {_word(value)}; ids are strings or integers"
        )
    found = list(map(str, values))
    if "" in found:
        raise UserError(
            f"{sheet.place(found.index(''))}: empty id (column '{shown(column)}'); fill it in, or leave out --id"
        )
    return _series(sheet, column, found)


def group(sheet: Sheet, column: str) -> pl.Series:
    """A group column as strings; a missing value is the empty string.

    Raises UserError: a list or an object.
    """
    values = sheet.columns[column]
    if isinstance(values, pl.Series):
        return values.alias(column)
    if not set(map(type, values)) <= {str}:
        if any(isinstance(value, (list, dict, tuple)) for value in values):
            place, value = _first(sheet, column, lambda value: isinstance(value, (list, dict, tuple)))
            raise UserError(f"{place}: group '{shown(column)}' is {_word(value)}; a group is a single value")
        values = list(map(group_name, values))
    return _series(sheet, column, values)


def group_name(value: object) -> str:
    """A cell as the name of a group: a missing value is the empty string, whole numbers have no decimal point."""
    if _is_missing(value):
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    # pandas turns a column of integers with gaps into decimals.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_missing(value: object) -> bool:
    """None, NaN, and the missing values of pandas."""
    return (
        value is None
        or (isinstance(value, float) and value != value)
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _word(value: object) -> str:
    return next(
        (word for kind, word in _WORDS.items() if isinstance(value, kind)), f"a {type(value).__name__}"
    )


def _first(sheet: Sheet, column: str, wrong: Callable[[Any], bool]) -> tuple[str, Any]:
    """The place and the value of the first wrong cell."""
    row, value = next((row, value) for row, value in enumerate(sheet.columns[column]) if wrong(value))
    return sheet.place(row), value


def _reject_missing(sheet: Sheet, column: str, role: str) -> None:
    missing = sum(map(_is_missing, sheet.columns[column]))
    if missing:
        place, _ = _first(sheet, column, _is_missing)
        raise UserError(
            f"{place}: no {role} (column '{shown(column)}' is null or missing); {_drop(column, missing)}"
        )


def _drop(column: str, count: int) -> str:
    """What to do about rows without a value in a column."""
    rows = f"the {count:,} rows like it" if count > 1 else "the row"
    return f"fill it in, or drop {rows} with --where '{shown(column)}!='"


def _series(sheet: Sheet, column: str, values: list[str]) -> pl.Series:
    """Strings as a column; refuses half of a surrogate pair, which JSON can spell and UTF-8 cannot encode."""
    try:
        "".join(values).encode()
    except UnicodeEncodeError as error:
        place, _ = _first(sheet, column, lambda value: bool(re.search("[\ud800-\udfff]", value)))
        raise UserError(
            f"{place}: column '{shown(column)}' contains half of a surrogate pair (\\ud800-\\udfff), which is not valid"
            " Unicode; fix or drop the row"
        ) from error
    return pl.Series(column, values, dtype=pl.String)
