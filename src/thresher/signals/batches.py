"""Batches of rows of nearly equal length, halved where a GPU has too little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch

from thresher.errors import UserError

Found = TypeVar("Found")

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


def each_batch(
    lengths: np.ndarray, batch_tokens: int, measure: Callable[[np.ndarray], Found]
) -> Iterator[tuple[np.ndarray, Found]]:
    """The rows of each of the `tight_batches`, and what `measure` gives for them; rows that do not fit on a GPU in two halves.

    Raises UserError: a single row does not fit.
    """
    queue = tight_batches(lengths, batch_tokens)
    while queue:
        rows = queue.pop(0)
        try:
            found = measure(rows)
        except torch.cuda.OutOfMemoryError as error:
            if len(rows) == 1:
                raise UserError(
                    f"the GPU has too little memory for a single row of {lengths[rows[0]]:,} tokens; cut or drop it, or use a"
                    " smaller max_length"
                ) from error
            torch.cuda.empty_cache()
            queue[:0] = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
            continue
        yield rows, found
