"""Checksums of everything that a run keeps: of a Parquet table, of a JSON file, and of the files in a folder.

A Parquet file carries the checksum of its own bytes in its key-value metadata, computed with zeros in its place. A JSON file
carries one in the field `checksum`. A folder has a JSON file that lists the digests of its other files. A Parquet file
without a checksum was written by another program, which is damage; the score table alone may have been.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.errors import UserError
from thresher.run import parquet
from thresher.run.files import as_json, digest, file_digest, write

KEY = b"thresher.checksum"
ROWS_HASH = b"thresher.rows.hash"
MADE_OF = b"thresher.made_of"
MARK = b"blake2b:"
BLANK = b"0" * 24
BLOCK = 1 << 20
MISSING = "missing"
CHANGED = "damaged (its checksum does not match its content)"


def write_table(
    path: Path,
    table: pl.DataFrame | pa.Table,
    about: Mapping[bytes, bytes] | None = None,
    group_rows: int | None = None,
) -> None:
    """Write a table as Parquet with its checksum, `about` as further metadata, and row groups of `group_rows` rows.

    Raises UserError: the disk is full or the folder cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.parquet"
    ...     write_table(path, pl.DataFrame({"id": ["a"]}))
    ...     before = table_problem(path)
    ...     _ = path.write_bytes(path.read_bytes().replace(b"PAR1", b"PAR2", 1))
    ...     before, table_problem(path)
    (None, 'damaged (its checksum does not match its content)')
    """
    arrow = _with_room(_arrow(table) if isinstance(table, pl.DataFrame) else table, about)

    def fill(temporary: Path) -> None:
        pq.write_table(arrow, temporary, compression="zstd", row_group_size=group_rows)
        _write_checksum(temporary)

    write(path, fill)


def write_blocks(
    path: Path, blocks: Iterable[pl.DataFrame], about: Mapping[bytes, bytes] | None = None
) -> None:
    """Write a table that comes block by block, as `write_table` does; every block is a row group."""

    def fill(temporary: Path) -> None:
        tables = (_with_room(_arrow(block), about) for block in blocks)
        first = next(tables)
        with pq.ParquetWriter(temporary, first.schema, compression="zstd") as writer:
            for table in chain([first], tables):
                writer.write_table(table)
        _write_checksum(temporary)

    write(path, fill)


def _arrow(table: pl.DataFrame) -> pa.Table:
    return table.to_arrow(compat_level=pl.CompatLevel.oldest())


def _with_room(table: pa.Table, about: Mapping[bytes, bytes] | None) -> pa.Table:
    """The table with its metadata and room for a checksum, which goes last, after the text of every other entry."""
    return table.replace_schema_metadata({**(about or {}), KEY: MARK + BLANK})


def _write_checksum(path: Path) -> None:
    with path.open("r+b") as handle:
        place = _checksum_offset(handle)
        assert place is not None
        checksum = _checksum(handle, place)
        handle.seek(place)
        handle.write(checksum)


def table_problem(path: Path, *, sealed: bool = True) -> str | None:
    """What is wrong with a Parquet file: None, "missing", or "damaged (how)"; `sealed`: whether it must have a checksum."""
    try:
        with path.open("rb") as handle:
            place = _checksum_offset(handle)
            if place is None:
                marked = KEY in (pq.read_metadata(handle).metadata or {}) or sealed
                return "damaged (it has no checksum: another program wrote it)" if marked else None
            handle.seek(place)
            if handle.read(len(BLANK)) != _checksum(handle, place):
                return CHANGED
    except FileNotFoundError:
        return MISSING
    except (OSError, pa.ArrowException, ValueError) as error:
        return f"damaged ({str(error).splitlines()[0][:80]})"
    return None


def check_table(path: Path, remedy: str) -> None:
    """Refuse a Parquet file that is missing or damaged."""
    if problem := table_problem(path):
        raise UserError(f"{path}: {problem}; {remedy}")


def read_table(path: Path, remedy: str) -> pl.DataFrame:
    check_table(path, remedy)
    return parquet.read(path)


def metadata(path: Path) -> dict[bytes, bytes]:
    return dict(pq.read_metadata(path).metadata or {})


def made_of(path: Path, key: bytes = MADE_OF) -> str | None:
    """What a table says in its metadata that it was made of; None if it says nothing, or cannot be read."""
    try:
        found = metadata(path).get(key)
    except (OSError, pa.ArrowException):
        return None
    return None if found is None else found.decode()


def row_count(path: Path) -> int:
    """The number of rows of a file that has been checked."""
    return int(pq.read_metadata(path).num_rows)


def write_json(path: Path, facts: Mapping[str, object]) -> None:
    """Write facts as JSON, with a checksum of them."""
    write(path, as_json(with_checksum(facts)))


def with_checksum(facts: Mapping[str, object]) -> dict[str, object]:
    """Facts for a JSON file, with a checksum of them.

    >>> sorted(with_checksum({"step": 4}))
    ['checksum', 'step']
    """
    return {**facts, "checksum": digest(facts)}


def read_json(path: Path) -> Any:
    """The facts that `write_json` wrote.

    Raises FileNotFoundError: there is no such file.
    Raises ValueError: it is not JSON, or its checksum does not match.
    """
    facts = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(facts, dict) or facts.pop("checksum", None) != digest(facts):
        raise ValueError("its checksum does not match its content")
    return facts


def read_facts(path: Path, remedy: str) -> Any:
    """The facts that `write_json` wrote."""
    try:
        return read_json(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: {MISSING}; {remedy}") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:
        raise UserError(f"{path}: damaged ({error}); {remedy}") from error


def file_digests(folder: Path) -> dict[str, str]:
    """The digest of every file directly in a folder, by name."""
    return {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.is_file()}


def folder_problem(folder: Path, listing: str) -> str | None:
    """What is wrong with a folder whose file `listing` holds the digests of the others under "files"; None if nothing."""
    try:
        known = read_json(folder / listing)["files"]
        found = file_digests(folder)
    except FileNotFoundError:
        return f"{folder}: {MISSING}"
    except (OSError, ValueError, KeyError) as error:
        return f"{folder / listing}: damaged ({error})"
    return files_problem(folder, known, found)


def files_problem(
    folder: Path, known: Mapping[str, str], found: Mapping[str, str] | None = None
) -> str | None:
    """The first of some files below a folder that is missing or differs from its `known` digest; None if all match.

    `found`: the digests of the files as they are now, by default computed here.
    """
    for name, expected in known.items():
        path = folder / name
        now = found.get(name) if found is not None else (file_digest(path) if path.is_file() else None)
        if now != expected:
            return f"{path}: {MISSING if now is None else CHANGED}"
    return None


def content_digest(*places: Path) -> str | None:
    """One digest of some files or folders of files, names included; None if one of them is missing."""
    files: list[Path] = []
    for place in places:
        if not place.exists():
            return None
        files += sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    return digest([[path.name, file_digest(path)] for path in files])


def _checksum_offset(handle: BinaryIO) -> int | None:
    """The offset of the checksum in a Parquet file; None if it has none, or no readable footer."""
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
    hasher = hashlib.blake2b(digest_size=len(BLANK) // 2)
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
