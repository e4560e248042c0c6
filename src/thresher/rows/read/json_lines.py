"""Read JSON Lines: one object per line."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from thresher.errors import UserError
from thresher.rows.read.sheet import PARSED_ROWS, Block, Pieces, Sheet, sheet_of_blocks, utf8, without_mark
from thresher.wording import shown

_decode = json.JSONDecoder().raw_decode
# What `raw_decode` calls; StopIteration where a text has no value.
_scan: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]


def read(raw: bytes, name: str, wanted: Sequence[str]) -> Sheet:
    """The wanted columns of a JSON Lines file. Blank lines are skipped; a key that a line lacks is None there.

    Raises UserError: broken JSON, a line that is not an object, not UTF-8 (each with its line), or a column that no
    line has.
    """
    return read_lines(io.BytesIO(without_mark(raw, name)[1]), name, wanted)


def read_lines(lines: Iterable[bytes], name: str, wanted: Sequence[str]) -> Sheet:
    """`read` of a file that comes line by line, so that it is never in memory whole; without a byte order mark."""
    return sheet_of_blocks(_blocks(lines, name), name, wanted)


def split(raw: bytes, name: str) -> Pieces:
    """The records of the file, byte for byte, including the line ends."""
    mark, body = without_mark(raw, name)
    return Pieces(mark, [line for line in io.BytesIO(body) if is_record(line)])


def is_record(line: bytes) -> bool:
    """Whether a line is not blank."""
    return bool(line.strip(b" \t\r\n"))


def why(error: Exception) -> str:
    """A short description of a JSON error."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' starting at').lower()} at column {error.colno}"
    return "nested too deep" if isinstance(error, RecursionError) else "a number of too many digits"


def _blocks(lines: Iterable[bytes], name: str) -> Iterator[Block]:
    """The objects of the lines that are not blank, with their line numbers, some at a time."""
    left, start = iter(lines), 1
    while block := list(islice(left, PARSED_ROWS)):
        yield _block(block, start) or _slowly(block, start, name)
        start += len(block)


def _block(lines: list[bytes], start: int) -> Block | None:
    """The objects of some lines; None if a line is blank or holds anything else than one object."""
    try:
        texts = [line.decode().strip(" \t\r\n") for line in lines]
        found = [_scan(text, 0) for text in texts]
    except (ValueError, RecursionError, StopIteration):
        return None
    records = [record for record, _ in found]
    if set(map(type, records)) != {dict} or [end for _, end in found] != list(map(len, texts)):
        return None
    return range(start, start + len(lines)), records


def _slowly(lines: list[bytes], start: int, name: str) -> Block:
    """`_block` line by line, which says what is wrong with the first line that is not as it should be."""
    found = list(_records(lines, start, name))
    return [number for number, _ in found], [record for _, record in found]


def _records(lines: list[bytes], start: int, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The object of every line that is not blank, with its line number."""
    for number, line in enumerate(lines, start):
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
