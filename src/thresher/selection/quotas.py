"""How many rows each group keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from thresher.selection.top_k import Counts


def quotas(sizes: Counts, at_least: Counts, total: int, names: Sequence[str | None]) -> Counts:
    """Share `total` kept rows among groups in proportion to their sizes, by the largest remainder.

    A group whose share is below `at_least` gets `at_least`, and the others share the remainder in proportion. Of equal
    remainders the group that comes first by name gets the row, so the numbering of the groups does not matter.

    Parameters: `sizes`, `at_least` (G,) rows, at_least <= sizes; `total` <= sizes.sum(); `names` (G,), all
    different. Returns (G,) with the sum max(total, at_least.sum()).

    >>> quotas(np.array([70, 20, 10]), np.array([0, 0, 5]), 50, ["a", "b", "c"]).tolist()
    [35, 10, 5]
    >>> quotas(np.array([50, 50, 3]), np.array([0, 0, 3]), 10, ["b", "a", "c"]).tolist()
    [3, 4, 3]
    """
    by_name = sorted(range(len(names)), key=lambda g: (names[g] is not None, names[g] or ""))
    return _shared(sizes, at_least, total, by_name, _largest_remainder)


def even_quotas(sizes: Counts, at_least: Counts, total: int) -> Counts:
    """Share `total` kept rows among layers as evenly as their sizes allow, from the smallest layer up.

    A layer gets min(its rows, rows left // layers left), so larger layers get what smaller ones could not fill; of equal
    sizes the first comes first. The last entry is not a layer but the rows that were left out, which are kept only if the
    layers do not suffice. `at_least` is as in `quotas`.

    Parameters: `sizes`, `at_least` (L + 1,) rows, at_least <= sizes; at_least.sum() <= `total` <= sizes.sum(). Returns
    (L + 1,) with the sum `total`.

    Source: Zheng et al., ICLR 2023, algorithm 1.

    >>> even_quotas(np.array([2, 90, 8, 10]), np.array([0, 0, 0, 0]), 41).tolist()
    [2, 31, 8, 0]
    >>> even_quotas(np.array([2, 90, 8, 10]), np.array([0, 0, 0, 1]), 102).tolist()
    [2, 90, 8, 2]
    """
    left_out = max(int(at_least[-1]), total - int(sizes[:-1].sum()))
    order = list(range(len(sizes) - 1))
    return np.append(_shared(sizes[:-1], at_least[:-1], total - left_out, order, _even), left_out)


def _shared(
    sizes: Counts, at_least: Counts, total: int, order: list[int], rule: Callable[[list[int], int], list[int]]
) -> Counts:
    """Share by `rule` among the groups to which it gives at least what they need; the others get what they need."""
    shared = np.array(at_least, dtype=np.int64)
    open_groups = [g for g in order if sizes[g] > 0]
    while open_groups:
        fixed = int(shared.sum() - shared[open_groups].sum())
        share = rule([int(sizes[g]) for g in open_groups], max(0, total - fixed))
        short = {g for g, count in zip(open_groups, share, strict=True) if count < at_least[g]}
        if not short:
            shared[open_groups] = share
            break
        open_groups = [g for g in open_groups if g not in short]
    return shared


def _largest_remainder(sizes: list[int], total: int) -> list[int]:
    # Fractions, not floats: two remainders that are equal must compare as equal.
    exact = [Fraction(total * size, sum(sizes)) for size in sizes]
    share = [int(value) for value in exact]
    first = sorted(range(len(sizes)), key=lambda g: share[g] - exact[g])
    for g in first[: total - sum(share)]:
        share[g] += 1
    return share


def _even(sizes: list[int], total: int) -> list[int]:
    share = [0] * len(sizes)
    smallest_first = sorted(range(len(sizes)), key=lambda g: (sizes[g], g))
    for place, g in enumerate(smallest_first):
        share[g] = min(sizes[g], total // (len(sizes) - place))
        total -= share[g]
    return share
