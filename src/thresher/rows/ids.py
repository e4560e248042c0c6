"""Stable row ids from content."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable

_encode = json.JSONEncoder(ensure_ascii=False).encode


def content_ids(texts: Iterable[tuple[str, ...]], labels: Iterable[str]) -> list[str]:
    """An id for every row that depends on what it says and not on where it stands.

    The first 64 bits of BLAKE2b over the JSON of [texts, label], 16 hexadecimal digits. The second row of the same
    content gets "-2" after it, the third "-3" and so on, so ids are unique.

    >>> content_ids([("play jazz",), ("stop",), ("play jazz",)], ["music", "music", "music"])
    ['ca0ab6e24ffe7369', '2e3ccbac5c1532ce', 'ca0ab6e24ffe7369-2']
    """
    seen: Counter[str] = Counter()
    ids = []
    for text, label in zip(texts, labels, strict=True):
        name = hashlib.blake2b(_encode([text, label]).encode(), digest_size=8).hexdigest()
        seen[name] += 1
        ids.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return ids
