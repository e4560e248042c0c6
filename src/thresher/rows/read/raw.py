"""The bytes of a text file as readers need them: decompressed, and not a Git LFS pointer."""

from __future__ import annotations

import pyarrow as pa

from thresher.errors import UserError

COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_LFS = b"version https://git-lfs.github.com/spec/"


def content(raw: bytes, name: str) -> bytes:
    """The content of a file. Compression is recognised by the first bytes, whatever the file extension.

    Raises UserError: the file is a Git LFS pointer, or its compressed data is damaged.

    >>> content(compressed(b"text,label", like=b"\\x1f\\x8b"), "a.csv.gz")
    b'text,label'
    """
    if raw.startswith(_LFS):
        raise UserError(f"{name}: a Git LFS pointer, not the data itself; run `git lfs pull`")
    codec = _codec(raw)
    if codec is None:
        return raw
    try:
        with pa.CompressedInputStream(pa.BufferReader(raw), codec) as stream:
            found: bytes = stream.read()
    except (OSError, pa.ArrowException) as error:
        raise UserError(f"{name}: damaged {codec} data ({error}); fetch the file again") from error
    return found


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
