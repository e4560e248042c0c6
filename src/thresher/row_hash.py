"""Random numbers that depend on the id of a row and a seed alone: they draw samples, break ties and choose noisy labels.

The hashes are published ones of the id's UTF-8 bytes, so any language can repeat a draw. The hash of polars is not used: its
documentation promises equal results only within one version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import repeat

import numpy as np
import polars as pl
import xxhash
from numpy.typing import NDArray

# Ids that are Python objects at a time.
_BLOCK = 1 << 16


def hash_ids(ids: pl.Series, seed: int = 0) -> NDArray[np.uint64]:
    """XXH64 of each id's UTF-8 bytes under `seed`.

    A whole number hashes like its decimal text, so a table keeps its draw when ids turn from numbers into text.

    Parameters: `ids` (N,) text or whole numbers without nulls; `seed` 0 <= seed < 2**64. Returns (N,) uint64.

    Source: the xxHash specification, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md

    >>> hash_ids(pl.Series(["a", "row 17", "नमस्ते"]), seed=1).tolist()
    [16051599287423682246, 8158998667470408177, 17674375748821639511]
    >>> bool(hash_ids(pl.Series([17]))[0] == hash_ids(pl.Series(["17"]))[0])
    True
    """
    hashes = np.empty(len(ids), dtype=np.uint64)
    for start in range(0, len(ids), _BLOCK):
        texts = ids[start : start + _BLOCK].cast(pl.String).cast(pl.Binary).to_list()
        hashes[start : start + _BLOCK] = np.fromiter(
            map(xxhash.xxh64_intdigest, texts, repeat(seed)), np.uint64, len(texts)
        )
    return hashes


def purpose_hashes(ids: Iterable[str], seed: int, purpose: str) -> NDArray[np.uint64]:
    """BLAKE2b of seed, purpose and each id, (N,): draws for different purposes are independent, whatever the seeds.

    >>> first, second = (purpose_hashes(["a", "b"], 0, purpose) for purpose in ("which", "what"))
    >>> bool((first == second).any())
    False
    """
    start = hashlib.blake2b(f"{seed}\x1f{purpose}\x1f".encode(), digest_size=8)

    def digest(one: str) -> bytes:
        hasher = start.copy()
        hasher.update(one.encode())
        return hasher.digest()

    return np.frombuffer(b"".join(map(digest, ids)), dtype="<u8")


def uniform(hashes: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Hashes as numbers in the open interval (0, 1): (h // 2**12 + 1/2) / 2**52.

    The nearest values to the ends are 2**-53 and 1 - 2**-53, so log(u) and log(-log(u)) are finite.

    >>> uniform(np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)).tolist()
    [1.1102230246251565e-16, 0.5000000000000001, 0.9999999999999999]
    """
    return ((hashes >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
