"""Which rows are kept: protected rows and floors first, then the largest keys of every group or layer."""

from __future__ import annotations

import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from thresher.errors import UserError
from thresher.selection.candidates import Candidates, Keys
from thresher.selection.quotas import even_quotas, quotas
from thresher.selection.read import Table
from thresher.selection.request import Request
from thresher.selection.top_k import Counts, Groups, Mask, Numbers, largest_of_groups


class Decision(NamedTuple):
    """What was decided.

    `key` (N,): +inf for rows that are kept in any case. `kept` (N,). `n_target`: how many rows to keep. `n_raised`: how many
    rows are kept in any case.
    """

    key: Numbers
    kept: Mask
    n_target: int
    n_raised: int


def decide(table: Table, request: Request) -> Decision:
    """Keep round((1 - prune) N) rows, or the protected rows and floors if those are more.

    The `floor` rows with the largest keys of every value of every floor column are kept; protected rows count towards them.
    The groups then share the total by the largest remainder, each getting at least the rows that are kept in any case. The
    layers of a group share its rows evenly.

    Raises UserError: nothing would be kept.
    """
    rows = table.rows
    made = request.strategy.function(rows, **request.options)
    keys = made if isinstance(made, Keys) else Keys(made)
    if keys.note:
        warnings.warn(f"{request.where}: {keys.note}", stacklevel=2)
    key = np.where(rows.protected, np.inf, keys.key)
    raised = rows.protected if keys.keep is None else rows.protected | keys.keep
    if request.floor:
        for column in request.floor_group:
            group = table.groups[column]
            counts = np.minimum(np.bincount(group), request.floor)
            raised = raised | largest_of_groups(key, rows.tie, group, counts)
    key[raised] = np.inf
    stratum, quota = _strata(rows, keys, raised, table, request)
    n_rows, n_kept = len(key), int(quota.sum())
    if n_kept == 0:
        raise UserError(f"prune {request.prune:g} of {n_rows} rows keeps nothing; prune less")
    if n_kept > rows.n_target:
        warnings.warn(
            f"{request.where}: floors and protected rows keep {n_kept} of {n_rows} rows,"
            f" {n_kept - rows.n_target} more than prune {request.prune:g} asks for",
            stacklevel=2,
        )
    return Decision(key, largest_of_groups(key, rows.tie, stratum, quota), rows.n_target, int(raised.sum()))


def _strata(
    rows: Candidates, keys: Keys, raised: Mask, table: Table, request: Request
) -> tuple[Groups, Counts]:
    """The stratum in which a row's key is compared (N,), and how many rows each stratum keeps (S,)."""
    names: list[str | None] = [None]
    group = np.zeros_like(rows.group)
    if keys.shared and request.stratify is not None:
        group, names = rows.group, list(table.codes[request.stratify])
    quota = quotas(_count(group, len(names)), _count(group[raised], len(names)), rows.n_target, names)
    if keys.layer is None:
        return group, quota
    # Per group its layers, and at the end the rows that were left out.
    width = int(keys.layer.max()) + 2
    stratum = group * np.int32(width) + np.where(keys.layer < 0, np.int32(width - 1), keys.layer)
    sizes = _count(stratum, len(names) * width).reshape(-1, width)  # (G, width)
    at_least = _count(stratum[raised], len(names) * width).reshape(-1, width)
    shares = zip(sizes, at_least, quota.tolist(), strict=True)
    return stratum, np.concatenate([even_quotas(size, least, count) for size, least, count in shares])


def _count(numbers: NDArray[np.integer], n: int) -> Counts:
    return np.bincount(numbers, minlength=n)
