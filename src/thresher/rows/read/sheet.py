"""What every reader returns (`Sheet`, `Pieces`), and the errors that all formats share."""

from __future__ import annotations

import codecs
import contextlib
import re
from array import array
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, compress, islice
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.errors import NoColumn, UserError
from thresher.wording import did_you_mean, listed, shown

# The values of a column in the types that the format has; strings without a missing one as a column of polars.
Cells = list[Any] | pl.Series
BLOCK_ROWS = 1 << 14
# Objects that are Python objects at a time; with many more, the garbage collector takes as long as the parsing.
PARSED_ROWS = 256
# Read besides the requested columns, because rows of several splits are not one training set.
SPLIT_COLUMN = re.compile("(data|dataset)?splits?|partition|(sub)?set|fold|part|phase|usage")


@dataclass(frozen=True)
class Sheet:
    """The requested columns of one file or frame; missing values are None.

    `lines` holds the line on which each row starts, or None for formats without lines. `typed` is false for formats
    whose values are always strings.
    """

    name: str
    columns: dict[str, Cells]
    lines: Sequence[int] | None = None
    typed: bool = True
    rows: Sequence[int] | None = None  # the numbers of the rows, if only some were selected

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def place(self, row: int) -> str:
        """The location of a row for messages: file and line, or file and row counted from 1."""
        if self.lines is not None:
            return f"{self.name} line {self.lines[row]}"
        return f"{self.name} row {(row if self.rows is None else self.rows[row]) + 1}"

    def take(self, keep: NDArray[np.bool_]) -> Sheet:
        """The sheet reduced to the rows where `keep` is true."""
        if keep.all():
            return self
        return replace(
            self,
            columns={name: _taken(values, keep) for name, values in self.columns.items()},
            lines=None if self.lines is None else array("q", compress(self.lines, keep)),
            rows=array("q", compress(range(len(self)) if self.rows is None else self.rows, keep)),
        )

    def as_lists(self) -> Sheet:
        return replace(self, columns={name: list(values) for name, values in self.columns.items()})


@dataclass(frozen=True)
class Pieces:
    """A text file split into records, byte for byte.

    `joints[i]` is what separates record i - 1 from record i (the commas of a JSON array).
    """

    head: bytes
    records: list[bytes]
    tail: bytes = b""
    joints: list[bytes] | None = None

    def pick(self, keep: NDArray[np.bool_]) -> bytes:
        """The file reduced to the records where `keep` is true."""
        records = list(compress(self.records, keep))
        if self.joints is not None:
            joints = list(compress(self.joints, keep))
            records[1:] = [joint + record for joint, record in zip(joints[1:], records[1:], strict=True)]
        return self.head + b"".join(records) + self.tail


Block = tuple[Sequence[int], list[dict[str, Any]]]  # the lines of some objects, and the objects


def sheet_of(records: Iterable[tuple[int, dict[str, object]]], name: str, wanted: Sequence[str]) -> Sheet:
    """The wanted columns of JSON objects, each given with its line. A key that an object lacks is None there.

    Raises UserError: no object has one of the columns.
    """
    found = iter(records)
    blocks = iter(lambda: list(islice(found, PARSED_ROWS)), [])
    return sheet_of_blocks(
        (([line for line, _ in one], [record for _, record in one]) for one in blocks), name, wanted
    )


def sheet_of_blocks(blocks: Iterable[Block], name: str, wanted: Sequence[str]) -> Sheet:
    """`sheet_of` objects that come in blocks, of which one is in memory at a time."""
    columns: dict[str, list[object]] = {column: [] for column in wanted}
    done: defaultdict[str, list[Cells]] = defaultdict(list)
    lines, seen = array("q"), dict[str, None]()
    for numbers, records in blocks:
        new = {key: None for keys in set(map(tuple, records)) for key in keys if key not in seen}
        seen |= new
        columns |= {column: [] for column in with_splits((), new) if column not in columns}
        for column, values in columns.items():
            if column in seen:
                # What came before a column had its first value.
                values += [None] * (len(lines) - len(values) - sum(map(len, done[column])))
                values += [record.get(column) for record in records]
                if len(values) >= BLOCK_ROWS:
                    done[column].append(as_cells(values[:]))
                    values.clear()
        lines.extend(numbers)
    if lines:
        need(wanted, seen, name)
    return Sheet(
        name,
        {column: joined([*done[column], as_cells(values)]) for column, values in columns.items()},
        lines,
    )


def as_cells(values: list[Any]) -> Cells:
    """Strings as a column, in a third of the memory; values of other types, missing ones and half surrogates as they are."""
    if values and set(map(type, values)) == {str}:
        with contextlib.suppress(UnicodeEncodeError):
            return pl.Series(values, dtype=pl.String)
    return values


def joined(blocks: list[Cells]) -> Cells:
    """The values of some blocks, one after another."""
    full = [block for block in blocks if len(block)]
    if full and all(isinstance(block, pl.Series) for block in full):
        return pl.concat(full)  # type: ignore[type-var]
    return list(chain.from_iterable(full))


def _taken(values: Cells, keep: NDArray[np.bool_]) -> Cells:
    return values.filter(pl.Series(keep)) if isinstance(values, pl.Series) else list(compress(values, keep))


def without_mark(raw: bytes, name: str) -> tuple[bytes, bytes]:
    """The byte order mark of a file (or nothing), and the rest.

    Raises UserError: the file is UTF-16, with a mark or without, or UTF-32 with one.
    """
    # The mark of UTF-32 begins with that of UTF-16.
    for form, marks in (
        ("UTF-32", (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
        ("UTF-16", (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
    ):
        if raw.startswith(marks):
            raise UserError(
                f"{name}: {form}, not UTF-8 (byte 0); save it as UTF-8, e.g. iconv -f {form} -t UTF-8"
            )
    start = raw[:200]
    if start.count(0) > len(start) // 4:
        raise UserError(
            f"{name}: not UTF-8, but probably UTF-16 without a byte order mark; save it as UTF-8, e.g. iconv -f"
            f" UTF-16{'LE' if start[1::2].count(0) > start[::2].count(0) else 'BE'} -t UTF-8"
        )
    mark = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
    return mark, raw[len(mark) :]


def utf8(line: bytes, name: str, number: int) -> str:
    """A line decoded as UTF-8.

    Raises UserError: it is not UTF-8.
    """
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} line {number}: not UTF-8 (byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line);"
            " save the file as UTF-8, e.g. iconv -f CP1252 -t UTF-8"
        ) from error


def with_splits(wanted: Sequence[str], known: Collection[object]) -> list[str]:
    """The wanted columns, and the split columns that a source has."""
    return [
        *wanted,
        *(column for column in map(str, known) if is_split_column(column) and column not in wanted),
    ]


def is_split_column(name: str) -> bool:
    """Whether a column is called like those that say of each row to which split it belongs.

    >>> is_split_column("data_split"), is_split_column("Partition"), is_split_column("intent")
    (True, True, False)
    """
    return SPLIT_COLUMN.fullmatch(re.sub("[^a-z]", "", name.casefold())) is not None


def need(wanted: Iterable[str], known: Collection[object], name: str, hint: str = "") -> None:
    """Check that every wanted column exists exactly once.

    Raises NoColumn: a column is missing; the message lists the columns and the closest name. Raises UserError:
    several columns have this name.
    """
    columns = [str(column) for column in known]
    for column in wanted:
        if column not in columns:
            raise NoColumn(
                f"{name}: no column '{shown(column)}'; it has {listed(columns) or 'none'}"
                f"{did_you_mean(column, columns)}{hint}",
                column,
            )
        if columns.count(column) > 1:
            raise UserError(
                f"{name}: {columns.count(column)} columns are called '{shown(column)}'; rename all but one"
            )
