"""Parquet files that carry a checksum of all their bytes, so that a damaged one is told apart.

The checksum stands in the file's own key-value metadata and is taken over the file with zeros in its place. A Parquet file
without one was written by somebody else; it is taken as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from thresher import parquet
from thresher.errors import UserError
from thresher.files import write

KEY = b"thresher.checksum"
MARK = b"blake2b:"
BLANK = b"0" * 24
BLOCK = 1 << 20


def write_table(
    path: Path,
    table: pl.DataFrame | pa.Table,
    about: Mapping[bytes, bytes] | None = None,
    group_rows: int | None = None,
) -> None:
    """Write a table as Parquet with its checksum, `about` as further metadata, and row groups of `group_rows` rows.

    Raises
    ------
    UserError
        the disk is full or the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.parquet"
    ...     write_table(path, pl.DataFrame({"id": ["a"]}))
    ...     sound = fault(path)
    ...     _ = path.write_bytes(path.read_bytes().replace(b"PAR1", b"PAR2", 1))
    ...     sound, fault(path)
    (None, 'damaged (its checksum is not that of its content)')
    """
    arrow = table.to_arrow(compat_level=pl.CompatLevel.oldest()) if isinstance(table, pl.DataFrame) else table
    # The checksum goes last, where no text of the other entries can stand behind it.
    arrow = arrow.replace_schema_metadata({**(about or {}), KEY: MARK + BLANK})

    def fill(temporary: Path) -> None:
        pq.write_table(arrow, temporary, compression="zstd", row_group_size=group_rows)
        with temporary.open("r+b") as handle:
            place = _place(handle)
            assert place is not None
            checksum = _checksum(handle, place)
            handle.seek(place)
            handle.write(checksum)

    write(path, fill)


def fault(path: Path) -> str | None:
    """What is wrong with a file: None where nothing is, "absent", or "damaged (how)"."""
    try:
        with path.open("rb") as handle:
            place = _place(handle)
            if place is None:
                marked = KEY in (pq.read_metadata(handle).metadata or {})
                return "damaged (its checksum is gone)" if marked else None
            handle.seek(place)
            if handle.read(len(BLANK)) != _checksum(handle, place):
                return "damaged (its checksum is not that of its content)"
    except FileNotFoundError:
        return "absent"
    except (OSError, pa.ArrowException, ValueError) as error:
        return f"damaged ({str(error).splitlines()[0][:80]})"
    return None


def check(path: Path, remedy: str) -> None:
    """Refuse a file that is not as it was written.

    Raises
    ------
    UserError
        one line that names the file, what is wrong with it, and the remedy.
    """
    wrong = fault(path)
    if wrong:
        raise UserError(f"{path}: {wrong}; {remedy}")


def read_table(path: Path, remedy: str) -> pl.DataFrame:
    """The table of a file that is as it was written; see `check`."""
    check(path, remedy)
    return parquet.read(path)


def about(path: Path) -> dict[bytes, bytes]:
    """The metadata of a file that has been checked."""
    return dict(pq.read_metadata(path).metadata or {})


def rows(path: Path) -> int:
    """The number of rows of a file that has been checked."""
    return int(pq.read_metadata(path).num_rows)


def _place(handle: BinaryIO) -> int | None:
    """Where the checksum stands in a Parquet file; None where it has none, or no readable footer."""
    size = handle.seek(0, 2)
    handle.seek(max(0, size - 8))
    tail = handle.read(8)
    start = size - 8 - int.from_bytes(tail[:4], "little")
    if tail[4:] != b"PAR1" or not 0 <= start < size:
        return None
    handle.seek(start)
    at = handle.read(size - start).rfind(MARK)
    return None if at < 0 else start + at + len(MARK)


def _checksum(handle: BinaryIO, place: int) -> bytes:
    hasher: Any = hashlib.blake2b(digest_size=len(BLANK) // 2)
    handle.seek(0)
    left = place
    while left and (block := handle.read(min(BLOCK, left))):
        hasher.update(block)
        left -= len(block)
    hasher.update(BLANK)
    handle.seek(place + len(BLANK))
    while block := handle.read(BLOCK):
        hasher.update(block)
    return hasher.hexdigest().encode()
