"""Make stable row ids from the content of the rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from itertools import islice
from json.encoder import encode_basestring as quoted

import numpy as np
import polars as pl
import pyarrow as pa

BLOCK_ROWS = 256


def content_ids(texts: Iterable[tuple[str, ...]], labels: Iterable[str]) -> list[str]:
    """An id for every row that depends on its content and not on its position.

    The id is the first 64 bits of BLAKE2b over the JSON of [texts, label], as 16 hexadecimal digits. Repeated content
    gets the suffix "-2", "-3" and so on, so ids are unique.

    >>> content_ids([("play jazz",), ("stop",), ("play jazz",)], ["music", "music", "music"])
    ['ca0ab6e24ffe7369', '2e3ccbac5c1532ce', 'ca0ab6e24ffe7369-2']
    """
    return content_id_column(texts, labels).to_list()


def content_id_column(texts: Iterable[tuple[str, ...]], labels: Iterable[str]) -> pl.Series:
    """`content_ids` as a column of strings."""
    rows = zip(texts, labels, strict=True)
    start, quoted_label = hashlib.blake2b(digest_size=8), lru_cache(quoted)

    def digest(content: str) -> bytes:
        hasher = start.copy()
        hasher.update(content.encode())
        return hasher.digest()

    digests = []
    while block := list(islice(rows, BLOCK_ROWS)):
        # Equal to json.dumps([text, label], ensure_ascii=False), four times as fast.
        contents = [f"[[{', '.join(map(quoted, text))}], {quoted_label(label)}]" for text, label in block]
        digests.append(b"".join(map(digest, contents)))
    joined = b"".join(digests)
    values = np.frombuffer(joined, dtype=">u8").astype(np.uint64)  # (N,)
    # Where each row stands among the rows of its content, from 0.
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    first = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])
    del ordered
    before = np.empty(len(values), np.int64)
    before[order] = np.arange(len(values)) - np.repeat(first, np.diff(np.r_[first, len(values)]))
    del values, order
    offsets = np.arange(0, 16 * len(before) + 1, 16)
    names = pa.LargeStringArray.from_buffers(
        len(before), pa.py_buffer(offsets), pa.py_buffer(joined.hex().encode())
    )
    table = pl.DataFrame({"id": pl.from_arrow(names), "before": before})
    repeated = pl.col("id") + "-" + (pl.col("before") + 1).cast(pl.String)
    return table.select(pl.when(pl.col("before") > 0).then(repeated).otherwise(pl.col("id")))["id"]
