"""What every reader returns, and the mistakes that all formats share."""

from __future__ import annotations

import codecs
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thresher.errors import NoColumn, UserError
from thresher.wording import did_you_mean, listed, shown


@dataclass(frozen=True)
class Sheet:
    """The wanted columns of one file or frame as Python values; None where there is none."""

    name: str
    columns: dict[str, list[Any]]
    lines: Sequence[int] | None = (
        None  # the physical line on which each row starts; None where there are no lines
    )
    typed: bool = True  # False: every value is a string, because the format knows nothing else

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def place(self, row: int) -> str:
        """Where a row stands: file and line, or file and row counted from 1."""
        return f"{self.name} row {row + 1}" if self.lines is None else f"{self.name} line {self.lines[row]}"


@dataclass(frozen=True)
class Pieces:
    """A text file cut at its records, byte for byte: what stands before, the records, what stands after.

    `joints[i]` stands between record i - 1 and record i (a JSON array's commas).
    """

    head: bytes
    records: list[bytes]
    tail: bytes = b""
    joints: list[bytes] | None = None

    def pick(self, keep: NDArray[np.bool_]) -> bytes:
        """The file with only the records to keep."""
        records = list(compress(self.records, keep))
        if self.joints is not None:
            records[1:] = [
                joint + record
                for joint, record in zip(list(compress(self.joints, keep))[1:], records[1:], strict=True)
            ]
        return self.head + b"".join(records) + self.tail


def without_mark(raw: bytes, name: str) -> tuple[bytes, bytes]:
    """A file's byte order mark (or nothing), and the rest.

    Raises
    ------
    UserError
        the mark says UTF-16.
    """
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise UserError(
            f"{name}: UTF-16, not UTF-8 (byte 0); save it as UTF-8, e.g. iconv -f UTF-16 -t UTF-8"
        )
    mark = codecs.BOM_UTF8 if raw.startswith(codecs.BOM_UTF8) else b""
    return mark, raw[len(mark) :]


def utf8(line: bytes, name: str, number: int) -> str:
    """A line as text.

    Raises
    ------
    UserError
        it is not UTF-8.
    """
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise UserError(
            f"{name} line {number}: not UTF-8 (byte 0x{line[error.start]:02x} at byte {error.start + 1} of the line);"
            " save the file as UTF-8, e.g. iconv -f LATIN1 -t UTF-8"
        ) from error


def need(wanted: Iterable[str], known: Collection[Any], name: str, hint: str = "") -> None:
    """Every wanted column is there, once.

    Raises
    ------
    UserError
        names the first column that is not, what there is, and the nearest.
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
