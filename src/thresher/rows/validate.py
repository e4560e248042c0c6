"""What a column must hold. Every function takes one sheet and answers with clean strings, or names the row."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import polars as pl

from thresher.errors import UserError
from thresher.rows.read.sheet import Sheet
from thresher.wording import shown

_WORDS = {
    bool: "a boolean",
    int: "an integer",
    float: "a decimal number",
    str: "a string",
    list: "a list",
    dict: "an object",
}
_KINDS = {str: "string", int: "integer", bool: "boolean"}
# Python reads no integer of more than 4,300 digits; one of a hundred is a name.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,99}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def is_missing(value: Any) -> bool:
    """None, NaN, and what pandas writes for them."""
    return (
        value is None
        or (isinstance(value, float) and value != value)
        or type(value).__name__ in ("NAType", "NaTType")
    )


def _word(value: Any) -> str:
    return next((word for one, word in _WORDS.items() if isinstance(value, one)), f"a {type(value).__name__}")


def _first(sheet: Sheet, column: str, wrong: Callable[[Any], bool]) -> tuple[str, Any]:
    row, value = next((row, value) for row, value in enumerate(sheet.columns[column]) if wrong(value))
    return sheet.place(row), value


def _reject_missing(sheet: Sheet, column: str, role: str) -> None:
    if any(map(is_missing, sheet.columns[column])):
        place, _ = _first(sheet, column, is_missing)
        raise UserError(
            f"{place}: no {role} (column '{shown(column)}' is null or absent); fill it in or drop the row"
        )


def series(sheet: Sheet, column: str, values: list[str]) -> pl.Series:
    """Strings as a column.

    Raises
    ------
    UserError
        half a surrogate pair, which JSON can spell and no encoding of Unicode holds.
    """
    try:
        "".join(values).encode()
    except UnicodeEncodeError as error:
        row = next(row for row, value in enumerate(values) if re.search("[\ud800-\udfff]", value))
        raise UserError(
            f"{sheet.place(row)}: column '{shown(column)}' holds half a surrogate pair (\\ud800-\\udfff), which is not"
            " valid Unicode; mend or drop the row"
        ) from error
    return pl.Series(column, values, dtype=pl.String)


def texts(sheet: Sheet, column: str) -> pl.Series:
    """A text column. Empty texts pass; the audit counts them.

    Raises
    ------
    UserError
        a missing text, or one that is not a string.
    """
    values = sheet.columns[column]
    if not set(map(type, values)) <= {str}:
        _reject_missing(sheet, column, "text")
        place, value = _first(sheet, column, lambda value: not isinstance(value, str))
        raise UserError(
            f"{place}: column '{shown(column)}' holds {_word(value)} ({shown(value)}), not text;"
            " name the text column, or write the values as strings"
        )
    return series(sheet, column, values)


def labels(sheet: Sheet, column: str) -> tuple[pl.Series, str]:
    """A label column as strings, and what the labels are: string, integer, boolean, or untyped (CSV, TSV).

    Raises
    ------
    UserError
        a missing or empty label, a decimal number, a list, or labels of mixed types.
    """
    values = sheet.columns[column]
    types = set(map(type, values))
    if not (len(types) == 1 and types <= _KINDS.keys()):
        _reject_missing(sheet, column, "label")
        kinds = [next((kind for one, kind in _KINDS.items() if type(value) is one), "") for value in values]
        odd = next((row for row, kind in enumerate(kinds) if kind != kinds[0] or not kind), 0)
        value = values[odd]
        if not kinds[odd]:
            raise UserError(
                f"{sheet.place(odd)}: label {shown(value)} (column '{shown(column)}') is {_word(value)};"
                " labels are strings or integers"
            )
        raise UserError(
            f"{sheet.place(odd)}: label {shown(value)} (column '{shown(column)}') is {_word(value)}, the labels before it"
            f" are {kinds[0]}s; write all labels as one type"
        )
    if types == {str}:
        if not all(map(str.strip, values)):
            place, _ = _first(sheet, column, lambda value: not value.strip())
            raise UserError(f"{place}: empty label (column '{shown(column)}'); fill it in or drop the row")
        return series(sheet, column, values), "string" if sheet.typed else "untyped"
    if types == {bool}:
        return pl.Series(
            column, ["true" if value else "false" for value in values], dtype=pl.String
        ), "boolean"
    return pl.Series(column, list(map(str, values)), dtype=pl.String), "integer"


def untyped_kind(distinct: set[str]) -> tuple[str, str | None]:
    """What labels are that a format without types gave, and the first that cannot be a label, if any.

    >>> untyped_kind({"0", "1"}), untyped_kind({"1", "2.5"}), untyped_kind({"1", "a"})
    (('integer', None), ('decimal', '2.5'), ('string', None))
    """
    if all(map(_INTEGER.fullmatch, distinct)):
        return "integer", None
    decimal = sorted(label for label in distinct if re.search("[.eE]", label))
    if decimal and all(map(_NUMBER.fullmatch, distinct)):
        return "decimal", decimal[0]
    return "string", None


def given_ids(sheet: Sheet, column: str) -> pl.Series:
    """An id column of strings or integers, as strings. That no two are equal is for the caller: shards come together.

    Raises
    ------
    UserError
        a missing or empty id, or one that is neither string nor integer.
    """
    values = sheet.columns[column]
    types = set(map(type, values))
    if not types <= {str, int}:
        _reject_missing(sheet, column, "id")
        place, value = _first(sheet, column, lambda value: type(value) not in (str, int))
        raise UserError(
            f"{place}: id {shown(value)} (column '{shown(column)}') is {_word(value)}; ids are strings or integers"
        )
    found = list(map(str, values)) if types != {str} else values
    if "" in found:
        raise UserError(
            f"{sheet.place(found.index(''))}: empty id (column '{shown(column)}'); fill it in or leave --id out"
        )
    return series(sheet, column, found)


def group(sheet: Sheet, column: str) -> pl.Series:
    """A group column as strings; a missing value is the empty string.

    Raises
    ------
    UserError
        a list or an object.
    """
    values = sheet.columns[column]
    if set(map(type, values)) <= {str}:
        return series(sheet, column, values)
    for row, value in enumerate(values):
        if isinstance(value, (list, dict, tuple)):
            raise UserError(
                f"{sheet.place(row)}: group '{shown(column)}' is {_word(value)}; a group is one value"
            )
    return series(sheet, column, list(map(_group_name, values)))


def _group_name(value: Any) -> str:
    if is_missing(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    # pandas turns a column of integers with gaps into decimals.
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
