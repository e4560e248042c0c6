"""A number per row id that depends on the id and the seed alone: it draws the samples and breaks the ties.

The hash is XXH64 of the id's UTF-8 bytes, so any language with an xxHash library can repeat a draw. The hash
that polars offers is not used: its documentation promises equal results only within one version, and a kept
set must be the same years later, whatever the library versions, the machine, the order of the rows or their
division into files.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

Words = NDArray[np.uint64]

_P1, _P2, _P3, _P4, _P5 = (
    0x9E3779B185EBCA87,
    0xC2B2AE3D27D4EB4F,
    0x165667B19E3779F9,
    0x85EBCA77C2B2AE63,
    0x27D4EB2F165667C5,
)
_WORD = (1 << 64) - 1
# Rows hashed at a time: the temporary arrays stay in the processor's cache.
_BLOCK = 1 << 15


def hash_ids(ids: pl.Series, seed: int = 0) -> Words:
    """XXH64 of each id's UTF-8 bytes under `seed`.

    An integer id hashes like its decimal text, so a table keeps its draw when ids turn from numbers into
    text.

    Parameters: `ids` (N,) strings or integers without nulls; `seed` 0 <= seed < 2**64. Returns (N,) uint64.

    Source: the xxHash specification, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md

    >>> hash_ids(pl.Series(["a", "row 17", "नमस्ते"]), seed=1).tolist()
    [16051599287423682246, 8158998667470408177, 17674375748821639511]
    >>> bool(hash_ids(pl.Series([17]))[0] == hash_ids(pl.Series(["17"]))[0])
    True
    """
    if len(ids) == 0:
        return np.zeros(0, dtype=np.uint64)
    array: Any = ids.cast(pl.String).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offset_buffer, byte_buffer = array.buffers()
    offsets = np.frombuffer(offset_buffer, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    text = np.frombuffer(byte_buffer or b"", dtype=np.uint8)[offsets[0] : offsets[-1]]
    # Eight bytes of padding: the last word of the last id may be read past its end, and is masked.
    text = np.concatenate([text, np.zeros(8, dtype=np.uint8)])
    words: Words = np.ndarray((len(text) - 7,), dtype="<u8", buffer=text, strides=(1,))
    starts, lengths = offsets[:-1] - offsets[0], np.diff(offsets)
    hashes = np.empty(len(array), dtype=np.uint64)
    by_length = np.argsort(lengths, kind="stable")
    cuts = np.flatnonzero(np.diff(lengths[by_length])) + 1
    for same in np.split(by_length, cuts):
        for block in np.split(same, range(_BLOCK, len(same), _BLOCK)):
            hashes[block] = _equal_length(words, starts[block], int(lengths[block[0]]), seed)
    return hashes


def uniform(hashes: Words) -> NDArray[np.float64]:
    """Hashes as numbers in the open interval (0, 1): (h // 2**12 + 1/2) / 2**52.

    Both ends are out of reach (the nearest values are 2**-53 and 1 - 2**-53), so log(u) and log(-log(u)) are
    finite.

    >>> uniform(np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)).tolist()
    [1.1102230246251565e-16, 0.5000000000000001, 0.9999999999999999]
    """
    return ((hashes >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52


def _equal_length(words: Words, starts: NDArray[np.int64], length: int, seed: int) -> Words:
    """XXH64 of `length` bytes at each of `starts`; `words[i]` is the little-endian word at byte i."""
    position = 0
    if length < 32:
        state = np.full(len(starts), (seed + _P5 + length) & _WORD, dtype=np.uint64)
    else:
        seeds = ((seed + _P1 + _P2) & _WORD, (seed + _P2) & _WORD, seed, (seed - _P1) & _WORD)
        lanes = [np.full(len(starts), lane_seed, dtype=np.uint64) for lane_seed in seeds]
        for position in range(0, length - 31, 32):
            lanes = [_round(lane, words[starts + position + 8 * i]) for i, lane in enumerate(lanes)]
        position += 32
        state = _rotate(lanes[0], 1) + _rotate(lanes[1], 7) + _rotate(lanes[2], 12) + _rotate(lanes[3], 18)
        for lane in lanes:
            state = (state ^ _round(np.zeros_like(lane), lane)) * np.uint64(_P1) + np.uint64(_P4)
        state += np.uint64(length)
    while position + 8 <= length:
        state ^= _round(np.zeros_like(state), words[starts + position])
        state = _rotate(state, 27) * np.uint64(_P1) + np.uint64(_P4)
        position += 8
    tail = words[starts + position] if position < length else state
    if position + 4 <= length:
        state ^= (tail & np.uint64(0xFFFFFFFF)) * np.uint64(_P1)
        state = _rotate(state, 23) * np.uint64(_P2) + np.uint64(_P3)
        tail = tail >> np.uint64(32)
        position += 4
    while position < length:
        state ^= (tail & np.uint64(0xFF)) * np.uint64(_P5)
        state = _rotate(state, 11) * np.uint64(_P1)
        tail = tail >> np.uint64(8)
        position += 1
    state = (state ^ (state >> np.uint64(33))) * np.uint64(_P2)
    state = (state ^ (state >> np.uint64(29))) * np.uint64(_P3)
    return state ^ (state >> np.uint64(32))


def _round(lane: Words, word: Words) -> Words:
    return _rotate(lane + word * np.uint64(_P2), 31) * np.uint64(_P1)


def _rotate(words: Words, bits: int) -> Words:
    return (words << np.uint64(bits)) | (words >> np.uint64(64 - bits))
