"""Batches of rows of nearly equal length."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

# What starting one more batch costs, in tokens' worth of products.
BATCH_COST = 40


def tight_batches(lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Row numbers in batches of at most `batch_tokens` padded tokens each (one row at least), the longest rows first.

    Of all ways to cut the rows, sorted by length, into batches, the one with the fewest padded tokens, where a batch counts
    as 40 more. By dynamic programming: f(j), the least cost of the j longest rows, is the least f(i) + 40 + (j - i) length_i.

    >>> [batch.tolist() for batch in tight_batches(np.array([30, 90, 31, 90]), 200)]
    [[1, 3], [2, 0]]
    """
    order = np.lexsort((np.arange(len(lengths)), -lengths))
    widths = lengths[order]
    cost = np.full(len(order) + 1, np.inf)
    cost[0] = 0
    start = np.zeros(len(order) + 1, np.int64)
    for i, width in enumerate(widths):
        rows = np.arange(1, 1 + min(max(1, batch_tokens // max(1, int(width))), len(order) - i))
        costs = cost[i] + BATCH_COST + rows * width
        ends = (i + rows)[costs < cost[i + rows]]
        cost[ends], start[ends] = costs[ends - i - 1], i
    cuts = [len(order)]
    while cuts[-1]:
        cuts.append(int(start[cuts[-1]]))
    return [order[first:last] for last, first in pairwise(cuts)][::-1]
