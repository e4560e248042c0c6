"""The k largest keys of every group, exactly, from any division of the rows into pieces.

Rows are ordered by (key, tie), a 128-bit number. The k-th largest is found by counting digits from the most
significant end: each pass over the rows counts one digit among the rows that can still be it. Counts of
pieces add up, so pieces may be shards, files or machines, and memory does not grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thresher.errors import UserError

Words = NDArray[np.uint64]
Counts = NDArray[np.int64]
Groups = NDArray[np.int32]

# A digit has at most 16 bits, and fewer where that many counters for every group would take more than 8 MiB. Once as few
# words as `_GATHER` are left, they are sorted in memory.
_DIGIT_BITS = 16
_COUNTER_BITS = 20
_GATHER = 1 << 21


class Pieces(NamedTuple):
    """The rows of one piece: key (n,) float64 without NaN, tie (n,) uint64, group (n,) int32 from 0."""

    key: NDArray[np.float64]
    tie: Words
    group: Groups


class Cut(NamedTuple):
    """The smallest (key, tie) that is still kept, for each of G groups; keys as `order_bits`."""

    key_bits: Words
    tie: Words


def order_bits(keys: NDArray[np.float64]) -> Words:
    """Unsigned integers in the order of the floating-point numbers; 0.0 and -0.0 are equal.

    >>> bits = order_bits(np.array([-np.inf, -1.5, -0.0, 0.0, 2.0, np.inf]))
    >>> (np.diff(bits.astype(object)) > 0).tolist()
    [True, True, False, True, True]
    """
    bits = (keys + 0.0).view(np.int64)
    return bits.view(np.uint64) ^ ((bits >> 63).view(np.uint64) | np.uint64(1 << 63))


def from_order_bits(bits: Words) -> NDArray[np.float64]:
    """The numbers that `order_bits` made these of.

    >>> from_order_bits(order_bits(np.array([-np.inf, -1.5, 0.0, 2.0]))).tolist()
    [-inf, -1.5, 0.0, 2.0]
    """
    negative = bits < np.uint64(1 << 63)
    return (bits ^ np.where(negative, np.uint64(2**64 - 1), np.uint64(1 << 63))).view(np.float64)


def find_cut(pieces: Callable[[], Iterator[Pieces]], quota: Counts) -> Cut:
    """Where to cut so that exactly `quota[g]` rows of group g are kept, those with the largest (key, tie).

    `pieces` starts a pass over all rows, piece by piece; it is called a few times and may give the rows in
    any order. `quota` (G,) int64, at most the number of rows in the group.

    Raises
    ------
    UserError
        two rows at the cut have the same key and the same tie, so nothing but their order could choose
        between them.

    >>> rows = Pieces(np.array([1.0, 3.0, 2.0]), np.array([7, 8, 9], np.uint64), np.zeros(3, np.int32))
    >>> is_kept(find_cut(lambda: iter([rows]), np.array([2])), rows).tolist()
    [False, True, True]
    """

    def keys() -> Iterator[tuple[Words, Groups]]:
        for piece in pieces():
            yield order_bits(piece.key), piece.group

    key_bits, left, _ = nth_largest(keys, quota)

    def ties() -> Iterator[tuple[Words, Groups]]:
        for piece in pieces():
            at_cut = order_bits(piece.key) == key_bits[piece.group]
            yield piece.tie[at_cut], piece.group[at_cut]

    tie, left, equal = nth_largest(ties, left)
    if (equal > left).any():
        raise UserError(
            "two rows at the cut have equal scores and the same hash of their ids; choose another seed"
        )
    return Cut(key_bits, tie)


def is_kept(cut: Cut, piece: Pieces) -> NDArray[np.bool_]:
    """Which rows of a piece are at or above the cut of their group."""
    bits, at = order_bits(piece.key), cut.key_bits[piece.group]
    kept: NDArray[np.bool_] = (bits > at) | ((bits == at) & (piece.tie >= cut.tie[piece.group]))
    return kept


def nth_largest(
    words: Callable[[], Iterator[tuple[Words, Groups]]], rank: Counts, *, gather: int = _GATHER
) -> tuple[Words, Counts, Counts]:
    """The `rank[g]`-th largest word of every group g.

    Returns three arrays (G,): that word; how many of the words equal to it are among the `rank[g]` largest;
    how many words are equal to it. Where `rank[g]` is 0, the word is the largest there is, 2**64 - 1, and
    both numbers are 0.

    >>> word, among, equal = nth_largest(
    ...     lambda: iter([(np.array([5, 9, 5, 5], np.uint64), np.zeros(4, np.int32))]), np.array([3]))
    >>> word.tolist(), among.tolist(), equal.tolist()
    ([5], [2], [3])
    """
    groups = len(rank)
    left = rank.astype(np.int64)
    prefix = np.zeros(groups, dtype=np.uint64)
    equal = np.zeros(groups, dtype=np.int64)
    known = 0
    while known < 64:
        width = min(64 - known, _DIGIT_BITS, max(1, _COUNTER_BITS - (groups - 1).bit_length()))
        counts = np.zeros(groups << width, dtype=np.int64)
        for word, group in _candidates(words(), prefix, known, left):
            digit = ((word >> np.uint64(64 - known - width)) & np.uint64((1 << width) - 1)).astype(np.int64)
            counts += np.bincount((group.astype(np.int64) << width) | digit, minlength=len(counts))
        down = counts.reshape(groups, 1 << width)[:, ::-1]
        reached = np.cumsum(down, axis=1)
        pick = (reached < left[:, None]).sum(axis=1)
        equal = np.take_along_axis(down, pick[:, None], axis=1)[:, 0]
        left = left - (np.take_along_axis(reached, pick[:, None], axis=1)[:, 0] - equal)
        digit_picked = ((1 << width) - 1 - pick).astype(np.uint64)
        prefix = (prefix << np.uint64(width)) | digit_picked if known else digit_picked
        known += width
        if known < 64 and equal[left > 0].sum() <= gather:
            prefix, left, equal = _by_sorting(_candidates(words(), prefix, known, left), left)
            break
    none = rank == 0
    prefix[none], left[none], equal[none] = np.uint64(2**64 - 1), 0, 0
    return prefix, left, equal


def _candidates(
    words: Iterator[tuple[Words, Groups]], prefix: Words, known: int, left: Counts
) -> Iterator[tuple[Words, Groups]]:
    """The words of unsettled groups that begin with the `known` leading bits of their group's `prefix`."""
    for word, group in words:
        candidate = left[group] > 0
        if known:
            candidate &= (word >> np.uint64(64 - known)) == prefix[group]
        yield word[candidate], group[candidate]


def _by_sorting(candidates: Iterator[tuple[Words, Groups]], left: Counts) -> tuple[Words, Counts, Counts]:
    parts = list(candidates)
    word = np.concatenate([part[0] for part in parts])
    group = np.concatenate([part[1] for part in parts])
    ordered = word[np.lexsort((word, group))]
    ends = np.cumsum(np.bincount(group, minlength=len(left)))
    found = np.zeros(len(left), dtype=np.uint64)
    found[left > 0] = ordered[(ends - left)[left > 0]]
    above = np.bincount(group[word > found[group]], minlength=len(left))
    equal = np.bincount(group[word == found[group]], minlength=len(left))
    return found, left - above, equal
