"""Keys that depend on where a row stands among the others: the same exact cut finds what they need."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thresher.selection.exact_sum import exact_mean, exact_sum
from thresher.selection.groups import Codes, groups_of
from thresher.selection.keys import Records, key_of
from thresher.selection.registry import Numbers, Spread
from thresher.selection.request import Request, target
from thresher.selection.row_hash import uniform
from thresher.selection.top_k import (
    Counts,
    Cut,
    Pieces,
    find_cut,
    from_order_bits,
    is_kept,
    nth_largest,
    order_bits,
)

# A pass over all records, piece by piece.
Passes = Callable[[], Iterator[Records]]


class Ranks(NamedTuple):
    """What the strategy asked for, per group of `stratify`: G groups.

    `drop` cuts off the rows that are left out first; `median` (G,); `low`, `high` (G,): the range of what is left, in
    `layers` layers. 0 layers: keys are compared within the whole group.
    """

    drop: Cut | None
    median: Numbers | None
    low: Numbers
    high: Numbers
    layers: int

    @property
    def width(self) -> int:
        """How many numbers of strata a group has: one per layer and one for the rows left out."""
        return self.layers + 1 if self.layers else 1


STEPS = 100  # of the share that is left out

NONE = Ranks(None, None, np.zeros(0), np.zeros(0), 0)


def find_ranks(passes: Passes, request: Request, codes: Mapping[str, Codes]) -> Ranks:
    """A few passes over the records, whose keys are the scores, turned so that large means "keep"."""
    strategy = request.strategy
    if not strategy.ranks:
        return NONE
    groups = groups_of(request, codes)
    sizes = np.zeros(groups, dtype=np.int64)
    for piece in passes():
        sizes += np.bincount(piece["stratum"], minlength=groups)
    if strategy.reach is not None:
        leave_out = few_to_leave_out(passes, sizes, request.prune, request.options[strategy.reach])
    else:
        share = request.options[strategy.drop] if strategy.drop is not None else 0.0
        leave_out = np.array([round(share * size) for size in sizes.tolist()], dtype=np.int64)
    drop = find_cut(lambda: map(_as_pieces, passes()), leave_out) if leave_out.any() else None
    median = _medians(passes, sizes) if "median" in strategy.facts else None
    layers = int(request.options[strategy.layers]) if strategy.layers is not None else 0
    low, high = _range(passes, drop, groups) if layers else (np.zeros(0), np.zeros(0))
    return Ranks(drop, median, low, high, layers)


def few_to_leave_out(passes: Passes, sizes: Counts, prune: float, reach: float) -> Counts:
    """How many rows of each group to leave out, (G,): as few as it takes that those after them reach a mean.

    Of 0, 1, ... `STEPS` / `STEPS` of what is pruned the first share is taken at which the rows that follow in the order of the
    key, as many as are to be kept, have a mean of `reached` of at least `reach`; all that is pruned, where there is none. It
    is found by bisection: harder rows reach less.
    """

    def after(step: int) -> Counts:
        return np.array([round(prune * size * step / STEPS) for size in sizes.tolist()], dtype=np.int64)

    def enough(step: int) -> bool:
        first = after(step)
        last = np.minimum(sizes, first + [target(size, prune) for size in sizes.tolist()])
        begin, end = (find_cut(lambda: map(_as_pieces, passes()), count) for count in (first, last))
        units, rows = 0, 0
        for piece in passes():
            inside = is_kept(end, _as_pieces(piece)) & ~is_kept(begin, _as_pieces(piece))
            units, rows = units + exact_sum(piece["reached"][inside]), rows + int(inside.sum())
        return not rows or exact_mean(units, rows) >= reach

    low, high = 0, STEPS
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return after(low)


def keyed(piece: Records, request: Request, spreads: tuple[Spread, ...], ranks: Ranks) -> Records:
    """The records with the strategy's keys, in strata by group and layer; those of other strategies as they are.

    Rows that are left out first have the key -inf, protected ones +inf.
    """
    if not request.strategy.ranks:
        return piece
    group, wanted = piece["stratum"], np.ascontiguousarray(piece["key"])
    spread = spreads[0] if ranks.median is None else spreads[0]._replace(median=ranks.median[group])
    left_out = _left_out(piece, ranks.drop)
    done = piece.copy()
    done["key"] = key_of(request, wanted, uniform(np.ascontiguousarray(piece["tie"])), (spread,))
    done["key"][left_out] = -np.inf
    done["key"][piece["protected"]] = np.inf
    if ranks.layers:
        layer = np.where(
            left_out, ranks.layers, _layer(wanted, ranks.low[group], ranks.high[group], ranks.layers)
        )
        done["stratum"] = group * ranks.width + layer
    return done


def _layer(wanted: Numbers, low: Numbers, high: Numbers, layers: int) -> NDArray[np.int64]:
    """The layer of equal width, 0 to layers - 1, in which a score lies; the highest score is in the last."""
    span = high - low
    share = np.clip((wanted - low) / np.where(span > 0, span, 1.0), 0.0, 1.0)
    found: NDArray[np.int64] = np.minimum((share * layers).astype(np.int64), layers - 1)
    return found


def _medians(passes: Passes, sizes: Counts) -> Numbers:
    """The larger of the middle two of every group; of an odd number the middle one."""

    def words() -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int32]]]:
        return ((order_bits(piece["key"]), piece["stratum"]) for piece in passes())

    return from_order_bits(nth_largest(words, (sizes + 1) // 2)[0])


def _range(passes: Passes, drop: Cut | None, groups: int) -> tuple[Numbers, Numbers]:
    low, high = np.full(groups, np.inf), np.full(groups, -np.inf)
    for piece in passes():
        left = piece[~_left_out(piece, drop)]
        np.minimum.at(low, left["stratum"], left["key"])
        np.maximum.at(high, left["stratum"], left["key"])
    nothing_left = low > high
    low[nothing_left] = high[nothing_left] = 0.0
    return low, high


def _left_out(piece: Records, drop: Cut | None) -> NDArray[np.bool_]:
    return np.zeros(len(piece), dtype=np.bool_) if drop is None else is_kept(drop, _as_pieces(piece))


def _as_pieces(piece: Records) -> Pieces:
    return Pieces(piece["key"], piece["tie"], piece["stratum"])
