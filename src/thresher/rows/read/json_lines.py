"""JSON Lines: one object a line."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any

from thresher.errors import UserError
from thresher.rows.read.sheet import Pieces, Sheet, need, utf8, without_mark
from thresher.wording import shown

_decode = json.JSONDecoder().raw_decode


def read(raw: bytes, name: str, wanted: Sequence[str]) -> Sheet:
    """The wanted columns of a JSON Lines file. Blank lines are no rows; a key that a line lacks is None there.

    Raises
    ------
    UserError
        broken JSON, a line that is no object, not UTF-8 (each with its line), or a column that no line has.
    """
    _, body = without_mark(raw, name)
    columns: dict[str, list[Any]] = {column: [] for column in wanted}
    appends = [(column, values.append) for column, values in columns.items()]
    lines: list[int] = []
    seen: dict[str, Any] = {}
    for number, line in enumerate(io.BytesIO(body), 1):
        text = utf8(line, name, number).strip(" \t\r\n")
        if not text:
            continue
        record = _object(text, f"{name} line {number}")
        seen.update(record)
        lines.append(number)
        for column, append in appends:
            append(record.get(column))
    if lines:
        need(wanted, seen, name)
    return Sheet(name, columns, lines)


def _object(text: str, place: str) -> dict[str, Any]:
    try:
        record, end = _decode(text)
        if end < len(text):
            raise json.JSONDecodeError("Extra data", text, end)
    except (ValueError, RecursionError) as error:
        remedy = "a JSON array belongs in a .json file" if text.startswith("[") else "mend or remove the line"
        raise UserError(f"{place}: broken JSON ({why(error)}); {remedy}") from error
    if not isinstance(record, dict):
        raise UserError(f"{place}: {shown(text)} is not a JSON object; write one object a line")
    return record


def why(error: Exception) -> str:
    """What is wrong with JSON, in a few words."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' starting at').lower()} at column {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else "a number of too many digits"


def split(raw: bytes, name: str) -> Pieces:
    """The file's records, byte for byte, line end included."""
    mark, body = without_mark(raw, name)
    return Pieces(mark, [line for line in io.BytesIO(body) if line.strip(b" \t\r\n")])
