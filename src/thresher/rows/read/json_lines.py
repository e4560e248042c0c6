"""Read JSON Lines: one object per line."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from thresher.errors import UserError
from thresher.rows.read.sheet import Pieces, Sheet, sheet_of, utf8, without_mark
from thresher.wording import shown

_decode = json.JSONDecoder().raw_decode


def read(raw: bytes, name: str, wanted: Sequence[str]) -> Sheet:
    """The wanted columns of a JSON Lines file. Blank lines are skipped; a key that a line lacks is None there.

    Raises UserError: broken JSON, a line that is not an object, not UTF-8 (each with its line), or a column that no
    line has.
    """
    return sheet_of(_records(without_mark(raw, name)[1], name), name, wanted)


def split(raw: bytes, name: str) -> Pieces:
    """The records of the file, byte for byte, including the line ends."""
    mark, body = without_mark(raw, name)
    return Pieces(mark, [line for line in io.BytesIO(body) if line.strip(b" \t\r\n")])


def why(error: Exception) -> str:
    """A short description of a JSON error."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' starting at').lower()} at column {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else "a number of too many digits"


def _records(body: bytes, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The object of every line that is not blank, with its line number."""
    for number, line in enumerate(io.BytesIO(body), 1):
        text = utf8(line, name, number).strip(" \t\r\n")
        if not text:
            continue
        place = f"{name} line {number}"
        try:
            record, end = _decode(text)
            if end < len(text):
                raise json.JSONDecodeError("Extra data", text, end)
        except (ValueError, RecursionError) as error:
            remedy = (
                "a JSON array belongs in a .json file" if text.startswith("[") else "fix or remove the line"
            )
            raise UserError(f"{place}: broken JSON ({why(error)}); {remedy}") from error
        if not isinstance(record, dict):
            raise UserError(f"{place}: {shown(text)} is not a JSON object; write one object per line")
        yield number, record
