"""Read JSON arrays of objects. A .json file with one object per line is read as JSON Lines."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from thresher.errors import UserError
from thresher.rows.read import json_lines
from thresher.rows.read.sheet import Pieces, Sheet, sheet_of, utf8, without_mark
from thresher.wording import shown

_decode = json.JSONDecoder().raw_decode
_space = re.compile(r"[ \t\r\n]*")


def read(raw: bytes, name: str, wanted: Sequence[str]) -> Sheet:
    """The wanted columns of a JSON array of objects. A key that an object lacks is None there.

    Raises UserError: broken JSON, not an array, an element that is not an object, not UTF-8 (each with its line), or
    a column that no object has.
    """
    text = _text(raw, name)
    if _holds_lines(text, name):
        return json_lines.read(raw, name, wanted)
    return sheet_of(_records(text, name), name, wanted)


def split(raw: bytes, name: str) -> Pieces:
    """The elements of the array, byte for byte, with the commas between them."""
    text = _text(raw, name)
    if _holds_lines(text, name):
        return json_lines.split(raw, name)
    spans = [(start, end) for start, end, _ in _elements(text, name)]
    if not spans:
        return Pieces(raw, [], joints=[])
    mark, _ = without_mark(raw, name)
    ends = [spans[0][0], *(end for _, end in spans)]
    return Pieces(
        head=mark + text[: spans[0][0]].encode(),
        records=[text[start:end].encode() for start, end in spans],
        tail=text[spans[-1][1] :].encode(),
        joints=[text[before:start].encode() for before, (start, _) in zip(ends, spans, strict=False)],
    )


def _records(text: str, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of the array with their line numbers."""
    line, counted = 1, 0
    for start, end, record in _elements(text, name):
        line += text.count("\n", counted, start)
        counted = start
        if not isinstance(record, dict):
            raise UserError(
                f"{name} line {line}: {shown(text[start:end])} is not a JSON object; a row is an object"
            )
        yield line, record


def _text(raw: bytes, name: str) -> str:
    _, body = without_mark(raw, name)
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        start = body.rfind(b"\n", 0, error.start) + 1
        return utf8(body[start:].split(b"\n", 1)[0], name, body.count(b"\n", 0, start) + 1)


def _skip_space(text: str, at: int = 0) -> int:
    """The position of the next character that is not white space."""
    found = _space.match(text, at)
    assert found is not None
    return found.end()


def _holds_lines(text: str, name: str) -> bool:
    """Whether the text is JSON Lines, or empty.

    Raises UserError: it is neither an array nor lines of objects.
    """
    start = _skip_space(text)
    if start == len(text):
        return True
    if text[start] == "[":
        return False
    try:
        if isinstance(json.loads(text[start:].split("\n", 1)[0]), dict):
            return True
    except (ValueError, RecursionError):
        pass
    raise UserError(
        f"{name}: not an array of objects; write [{{...}}, {{...}}], or one object per line in a .jsonl file"
    )


def _elements(text: str, name: str) -> Iterator[tuple[int, int, object]]:
    """Start, end and value of each element of the outermost array."""
    try:
        at = _skip_space(text, _skip_space(text) + 1)
        if not text.startswith("]", at):
            while True:
                value, end = _decode(text, at)
                yield at, end, value
                at = _skip_space(text, end)
                if not text.startswith(",", at):
                    break
                at = _skip_space(text, at + 1)
        if not text.startswith("]", at):
            raise json.JSONDecodeError("Expecting ',' delimiter or ']'", text, at)
        if (after := _skip_space(text, at + 1)) < len(text):
            raise json.JSONDecodeError("Extra data", text, after)
    except (ValueError, RecursionError) as error:
        line = error.lineno if isinstance(error, json.JSONDecodeError) else text.count("\n", 0, at) + 1
        raise UserError(f"{name} line {line}: broken JSON ({json_lines.why(error)}); fix the file") from error
