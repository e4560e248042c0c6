"""Read CSV and TSV: a header, then one record per line, or several lines if a quoted field contains line ends.

If the header of a file lacks the delimiter of its extension and contains another one, that one is used; a line `sep=;` before
the header, as for Excel, names it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
import sys
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from thresher.errors import UserError
from thresher.rows.read.sheet import (
    BLOCK_ROWS,
    Cells,
    Pieces,
    Sheet,
    as_cells,
    joined,
    need,
    utf8,
    with_splits,
    without_mark,
)

_NAMES = {
    ",": "comma",
    "\t": "tab",
    ";": "semicolon",
    "|": "bar",
    "^": "caret",
    "~": "tilde",
    ":": "colon",
    "\x01": "control character 1",
    "\x1f": "unit separator",
}

_GIVEN = re.compile(r'"?sep=(.)"?$')  # the first line, as Excel understands it


def _read(raw: bytes, name: str, wanted: Sequence[str], *, delimiter: str) -> Sheet:
    """The wanted columns of a file with a header line. Blank lines are skipped; an empty cell is an empty string.

    Raises UserError: a record with more or fewer fields than the header, a quote that is never closed, not UTF-8
    (each with its line), or a column that the header lacks.
    """
    _, body = without_mark(raw, name)
    columns: dict[str, list[str]] = {column: [] for column in wanted}
    done: dict[str, list[Cells]] = {}
    lines = array("q")
    with _any_length():
        records = _records(body, name, _dialect(body, name, delimiter))
        _, _, header = next(records, (0, 0, []))
        if header:
            header = [cell.strip() for cell in header]
            need(wanted, header, name, " (the first line is read as the header)")
            columns = {column: [] for column in with_splits(wanted, header)}
            appends = [(header.index(column), values.append) for column, values in columns.items()]
            for start, _, record in records:
                lines.append(start + 1)
                for index, append in appends:
                    append(record[index])
                if not len(lines) % BLOCK_ROWS:
                    for column, values in columns.items():
                        done.setdefault(column, []).append(as_cells(values[:]))
                        values.clear()
    cells = {column: joined([*done.get(column, []), as_cells(values)]) for column, values in columns.items()}
    return Sheet(name, cells, lines, typed=False)


def columns(raw: bytes, name: str, *, delimiter: str) -> list[str]:
    """The names of the columns, from the header line.

    >>> columns(b"text; label", "a.csv", delimiter=",")
    ['text', 'label']
    """
    _, body = without_mark(raw, name)
    with _any_length():
        _, _, header = next(_records(body, name, _dialect(body, name, delimiter)), (0, 0, []))
    return [cell.strip() for cell in header]


def separator(raw: bytes, name: str, delimiter: str) -> str:
    """What separates the fields of a file: `delimiter`, or another that its header has instead."""
    _, body = without_mark(raw, name)
    return _dialect(body, name, delimiter).delimiter


def _split(raw: bytes, name: str, *, delimiter: str) -> Pieces:
    """The header and the records of the file, byte for byte, including the line ends."""
    mark, body = without_mark(raw, name)
    lines = list(io.BytesIO(body))
    with _any_length():
        records = _records(body, name, _dialect(body, name, delimiter))
        places = [(start, end) for start, end, _ in records]
        # The header has what stands before it, such as sep=;
        pieces = [b"".join(lines[start * (at > 0) : end]) for at, (start, end) in enumerate(places)]
    return Pieces(mark + pieces[0], pieces[1:]) if pieces else Pieces(mark, [])


read_csv, split_csv = partial(_read, delimiter=","), partial(_split, delimiter=",")
read_tsv, split_tsv = partial(_read, delimiter="\t"), partial(_split, delimiter="\t")


@dataclass(frozen=True)
class _Dialect:
    """How a file separates and quotes its fields; `skip` drops blanks after a delimiter."""

    delimiter: str
    quoting: int
    skip: bool


def _dialect(body: bytes, name: str, delimiter: str) -> _Dialect:
    """The dialect of a file, from its header and its quotes."""
    lines = (line for line in io.BytesIO(body) if line.strip())
    header = next(lines, b"").split(b"\r")[0].decode(errors="replace")
    if given := _GIVEN.match(header):
        delimiter, header = given[1], next(lines, b"").decode(errors="replace")
    elif delimiter not in header:
        delimiter = max(_NAMES, key=lambda one: (header.count(one), one == delimiter))
    skip = any(cell.startswith(" ") for cell in next(csv.reader([header], delimiter=delimiter), [])[1:])
    return _Dialect(delimiter, _quoting(body, name, delimiter), skip)


def _records(body: bytes, name: str, dialect: _Dialect) -> Iterator[tuple[int, int, list[str]]]:
    """Each record with its physical lines [start, end), counted from 0. Records of blank fields are skipped."""
    texts = (utf8(line, name, number) for number, line in enumerate(io.BytesIO(body), 1))
    reader = csv.reader(
        texts,
        delimiter=dialect.delimiter,
        quoting=dialect.quoting,  # type: ignore[arg-type]
        skipinitialspace=dialect.skip,
        strict=True,
    )
    width = 0
    while True:
        start = reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise UserError(_why(error, name, start + 1, reader.line_num)) from error
        if any(map(str.strip, cells)) and (width or cells[0] != "sep="):
            width = width or len(cells)
            if len(cells) != width:
                raise UserError(
                    f"{name} line {start + 1}: {len(cells)} fields, the header has {width};"
                    f' put fields that contain a {_NAMES[dialect.delimiter]} or a line end in "quotes"'
                )
            yield start, reader.line_num, cells


def _why(error: csv.Error, name: str, start: int, line: int) -> str:
    message = str(error)
    if "unexpected end of data" in message:
        return f'{name} line {start}: a quote (") is opened and never closed; close it, or double it if it is text'
    if "expected after" in message:
        return f'{name} line {line}: text follows a closing quote ("); write "" for a quote inside a quoted field'
    return f"{name} line {line}: a bare carriage return outside quotes; end lines with \\n or \\r\\n"


def _quoting(body: bytes, name: str, delimiter: str) -> int:
    """Whether quotes are syntax or, as in many TSV files, plain characters.

    They are plain characters if every line of a TSV has as many tabs as the header, and reading them as syntax fails or
    would join lines.
    """
    if delimiter != "\t" or b'"' not in body:
        return csv.QUOTE_MINIMAL
    tabs = [line.count(b"\t") for line in io.BytesIO(body) if line.strip(b"\r\n")]
    if len(set(tabs)) != 1:
        return csv.QUOTE_MINIMAL
    try:
        quoted = sum(1 for _ in _records(body, name, _Dialect(delimiter, csv.QUOTE_MINIMAL, skip=False)))
    except UserError:
        return csv.QUOTE_NONE
    return csv.QUOTE_MINIMAL if quoted == len(tabs) else csv.QUOTE_NONE


@contextlib.contextmanager
def _any_length() -> Iterator[None]:
    """Lift the csv module's limit of 131,072 characters per field."""
    before = csv.field_size_limit(sys.maxsize)
    try:
        yield
    finally:
        csv.field_size_limit(before)
