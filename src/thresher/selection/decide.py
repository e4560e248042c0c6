"""Which rows are kept: floors first, then a quota per stratum, each by one exact cut."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from thresher.errors import UserError
from thresher.selection.groups import Codes
from thresher.selection.keys import Records
from thresher.selection.quotas import even_quotas, quotas
from thresher.selection.ranks import Passes
from thresher.selection.request import Request, target
from thresher.selection.top_k import Counts, Cut, Pieces, find_cut, is_kept


class Decision(NamedTuple):
    """The cut of each floor column and of the strata, and the counts; `n_raised` rows are kept in any case."""

    floors: Mapping[str, Cut]
    strata: Cut
    n_rows: int
    n_target: int
    n_kept: int
    n_raised: int


def decide(
    passes: Passes, request: Request, n_rows: int, codes: Mapping[str, Codes], width: int = 1
) -> Decision:
    """Find the cuts that keep round((1 - prune) N) rows, or the floors and protected rows if they are more.

    The `floor` largest keys of every value of every floor column are raised to +inf, and the `least` of every value of
    `least_group`; protected rows already have that key and count towards the floors. The groups of `stratify` then
    share the total by the largest remainder, each getting at least its raised rows; where a group has `width` strata
    (layers, and the rows left out), these share its rows evenly.

    Raises
    ------
    UserError
        nothing would be kept.
    """
    n_target = target(n_rows, request.prune)
    least = dict.fromkeys(request.floor_group, request.floor)
    if request.least_group is not None:
        even = int(request.least * n_target / max(1, len(codes[request.least_group])))
        least[request.least_group] = max(least.get(request.least_group, 0), even)
    columns = tuple(column for column, count in least.items() if count)
    sizes = {column: np.zeros(len(codes[column]), dtype=np.int64) for column in columns}
    names = list(codes[request.stratify]) if request.stratify is not None else [None]
    strata = np.zeros(len(names) * width, dtype=np.int64)
    for piece in passes():
        strata += np.bincount(piece["stratum"], minlength=len(strata))
        for column in columns:
            sizes[column] += np.bincount(piece[f"floor {column}"], minlength=len(sizes[column]))

    floors = {
        column: find_cut(_pieces(passes, f"floor {column}"), np.minimum(sizes[column], least[column]))
        for column in columns
    }

    def raised_passes() -> Iterator[Records]:
        return (raised(piece, floors) for piece in passes())

    at_least = np.zeros(len(strata), dtype=np.int64)
    for piece in raised_passes():
        at_least += np.bincount(piece["stratum"][np.isposinf(piece["key"])], minlength=len(strata))
    quota = _quota(strata.reshape(-1, width), at_least.reshape(-1, width), n_target, names)
    n_kept, n_raised = int(quota.sum()), int(at_least.sum())
    if n_kept == 0:
        raise UserError(f"prune {request.prune:g} of {n_rows} rows keeps nothing; prune less")
    if n_kept > n_target:
        warnings.warn(
            f"{request.where}: floors and protected rows keep {n_kept} of {n_rows} rows,"
            f" {n_kept - n_target} more than prune {request.prune:g} asks for",
            stacklevel=2,
        )
    cut = find_cut(_pieces(raised_passes, "stratum"), quota)
    return Decision(floors, cut, n_rows, n_target, n_kept, n_raised)


def _quota(sizes: Counts, at_least: Counts, total: int, names: Sequence[str | None]) -> Counts:
    """Rows to keep of every stratum, (G * width,), from counts (G, width)."""
    of_group = quotas(sizes.sum(axis=1), at_least.sum(axis=1), total, names)
    if sizes.shape[1] == 1:
        return of_group
    shares = zip(sizes, at_least, of_group.tolist(), strict=True)
    return np.concatenate([even_quotas(size, least, count) for size, least, count in shares])


def raised(piece: Records, floors: Mapping[str, Cut]) -> Records:
    """The records with the key +inf where a floor keeps the row."""
    if not floors:
        return piece
    lifted = piece.copy()
    for column, cut in floors.items():
        floor = is_kept(cut, Pieces(piece["key"], piece["tie"], piece[f"floor {column}"]))
        lifted["key"][floor] = np.inf
    return lifted


def kept(piece: Records, decision: Decision) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Which rows of a piece of raised records are kept."""
    return is_kept(decision.strata, Pieces(piece["key"], piece["tie"], piece["stratum"]))


def _pieces(passes: Passes, group: str) -> Callable[[], Iterator[Pieces]]:
    return lambda: (Pieces(piece["key"], piece["tie"], piece[group]) for piece in passes())
