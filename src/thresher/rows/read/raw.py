"""The bytes of a text file as readers need them: decompressed, and not a Git LFS pointer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from thresher.errors import UserError
from thresher.rows.read.sheet import without_mark

HEAD = 1024
COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
# What stands in the place of data, or is data of another kind than the name says.
_NO_DATA = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer, not the data itself; run `git lfs pull`",
    b"/annex/objects/": "a git-annex pointer, not the data itself; run `git annex get`",
    b"PK\x03\x04": "a ZIP or Excel file; unpack it, or save the sheet as CSV",
    b"BZh91AY&SY": "a bzip2 file; unpack it, or compress it with gzip",
    b"\xfd7zXZ\x00": "an xz file; unpack it, or compress it with gzip",
}


def content(raw: bytes, name: str) -> bytes:
    """The content of a file. Compression is recognised by the first bytes, whatever the file extension.

    Raises UserError: the file is a pointer to data, an archive, or its compressed data is damaged.

    >>> content(compressed(b"text,label", like=b"\\x1f\\x8b"), "a.csv.gz")
    b'text,label'
    """
    for start, what in _NO_DATA.items():
        if raw.startswith(start):
            raise UserError(f"{name}: {what}")
    codec = _codec(raw)
    if codec is None:
        return raw
    try:
        with pa.CompressedInputStream(pa.BufferReader(raw), codec) as stream:
            found: bytes = stream.read()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{name}: damaged {codec} data ({error}); fetch the file again") from error
    return found


def is_plain(path: Path) -> bool:
    """Whether the bytes of a file are its content: it is not compressed, nor a pointer or an archive.

    A pointer has a few lines; a file as short as one is not plain, and is read whole.
    """
    with path.open("rb") as file:
        start = file.read(HEAD)
    return len(start) == HEAD and not start.startswith(tuple(_NO_DATA)) and _codec(start) is None


class Lines:
    """The lines of a plain text file without its byte order mark; `size` and `digest` of its bytes when all were read."""

    def __init__(self, file: BinaryIO, mark: bytes) -> None:
        self.file, self.size = file, len(mark)
        self.hasher = hashlib.blake2b(mark, digest_size=12)
        file.seek(len(mark))

    @staticmethod
    def of(path: Path, name: str) -> Lines | None:
        """The lines of a file; None if it is not plain.

        Raises UserError: it is UTF-16.
        """
        if not is_plain(path):
            return None
        file = path.open("rb")
        return Lines(file, without_mark(file.read(HEAD), name)[0])

    @property
    def digest(self) -> str:
        """The digest of the bytes that were read."""
        return self.hasher.hexdigest()

    def __iter__(self) -> Iterator[bytes]:
        while lines := self.file.readlines(1 << 20):
            block = b"".join(lines)
            self.hasher.update(block)
            self.size += len(block)
            yield from lines

    def __enter__(self) -> Lines:
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()


def compressed(text: bytes, like: bytes) -> bytes:
    """The text, compressed as the bytes `like` are, if they are."""
    codec = _codec(like)
    if codec is None:
        return text
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, codec) as stream:
        stream.write(text)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def _codec(raw: bytes) -> str | None:
    return next((codec for magic, codec in _MAGIC.items() if raw.startswith(magic)), None)
