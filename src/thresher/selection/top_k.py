"""The k rows with the largest keys, rows of equal key in the order of a hash."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from thresher.errors import UserError

Numbers = NDArray[np.float64]
Words = NDArray[np.uint64]
Counts = NDArray[np.int64]
Groups = NDArray[np.int32]
Mask = NDArray[np.bool_]


def largest(key: Numbers, tie: Words, count: int) -> Mask:
    """Which `count` rows have the largest (key, tie); key (N,) without NaN, tie (N,), 0 <= count <= N.

    Raises UserError: two rows at the cut have the same key and tie, so that only their order could decide.

    >>> largest(np.array([1.0, 3.0, 2.0, 2.0]), np.array([7, 8, 9, 5], np.uint64), 2).tolist()
    [False, True, True, False]
    """
    if count == 0:
        return np.zeros(len(key), dtype=np.bool_)
    cut = np.partition(key, len(key) - count)[len(key) - count]
    chosen: Mask = key > cut
    equal = np.flatnonzero(key == cut)
    left = count - int(chosen.sum())
    ties = tie[equal]
    at_cut = ties >= np.partition(ties, len(ties) - left)[len(ties) - left]
    if at_cut.sum() > left:
        raise UserError(
            "two rows at the cut have equal scores and the same hash of their ids; choose another seed"
        )
    chosen[equal[at_cut]] = True
    return chosen


def largest_of_groups(key: Numbers, tie: Words, group: Groups, counts: Counts) -> Mask:
    """`largest` within each of G groups: `counts[g]` rows of group g; group (N,), counts (G,).

    >>> group = np.array([0, 0, 1], np.int32)
    >>> largest_of_groups(np.array([1.0, 3.0, 2.0]), np.array([7, 8, 9], np.uint64), group, np.array([1, 1])).tolist()
    [False, True, True]
    """
    if len(counts) == 1:
        return largest(key, tie, int(counts[0]))
    chosen = np.zeros(len(key), dtype=np.bool_)
    for rows, count in zip(members(group, len(counts)), counts.tolist(), strict=True):
        chosen[rows] = largest(key[rows], tie[rows], count)
    return chosen


def members(group: Groups, n_groups: int) -> Iterator[NDArray[np.intp]]:
    """The places of the rows of each group, 0 to `n_groups` - 1, in the order of the rows.

    >>> [rows.tolist() for rows in members(np.array([1, 0, 1], np.int32), 3)]
    [[1], [0, 2], []]
    """
    order = np.argsort(group, kind="stable")
    ends = np.cumsum(np.bincount(group, minlength=n_groups))
    return iter(np.split(order, ends[:-1]))
