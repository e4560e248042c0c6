"""From a scores table to the arrays that a selection needs: about 20 bytes per row, whatever else the table holds."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.errors import UserError
from thresher.row_hash import hash_ids
from thresher.selection.candidates import Candidates
from thresher.selection.groups import Codes, encode, protected
from thresher.selection.request import Request, target
from thresher.selection.top_k import Groups, Words

# Starts a pass over the named columns of the table, piece by piece, always in the same order.
Source = Callable[[list[str]], Iterable[pl.DataFrame]]
# Equal hashes to look up at most: different ids hardly ever share one, so nearly every one is a repeated id.
_LOOKED_UP = 1000


class Table(NamedTuple):
    """The rows to select from; and per group column the number of each row's value, (N,), and the numbers of the values."""

    rows: Candidates
    groups: dict[str, Groups]
    codes: dict[str, Codes]


def read(source: Source, request: Request) -> Table:
    """Read the columns that the selection needs.

    Raises UserError: no rows, rows without an id, scores that are missing, NaN or infinite, or repeated ids.
    """
    ties, safe, without_id = [], [], 0
    scores: dict[str, list[NDArray[np.float64]]] = {column: [] for column in request.by}
    groups: dict[str, list[Groups]] = {column: [] for column in request.grouped}
    codes: dict[str, Codes] = {column: {} for column in request.grouped}
    unmatched = set(request.protect)
    for frame in source(request.columns):
        without_id += frame[request.id].null_count()
        ties.append(hash_ids(frame[request.id].drop_nulls(), request.seed))
        safe.append(protected(frame, request.protect))
        for column, parts in scores.items():
            parts.append(frame[column].cast(pl.Float64).to_numpy())  # missing values as NaN
        for column, numbers in groups.items():
            numbers.append(encode(frame[column], codes[column]))
        unmatched -= {pair for pair in unmatched if protected(frame, (pair,)).any()}
    n_rows = sum(map(len, safe))
    if not n_rows:
        raise UserError(f"{request.where}: no rows; give a table with at least one")
    if without_id:
        raise UserError(
            f"{request.where}: column '{request.id}' is empty in {_rows(without_id)}; every row needs an id"
        )
    oriented = np.zeros((max(1, len(request.by)), n_rows))
    for at, (column, sign) in enumerate(zip(request.by, request.signs, strict=True)):
        np.concatenate(scores[column], out=oriented[at])
        _check_scores(oriented[at], column, source, request)
        oriented[at] *= sign
    scores.clear()
    for column, value in sorted(unmatched):
        warnings.warn(f"{request.where}: protect '{column}={value}' matches no row", stacklevel=2)
    tie = np.concatenate(ties)
    del ties
    refuse_repeated_ids(tie, source, request)
    found = {column: np.concatenate(groups.pop(column)) for column in request.grouped}
    group, n_groups = np.zeros(n_rows, dtype=np.int32), 1
    if request.stratify is not None:
        group, n_groups = found[request.stratify], len(codes[request.stratify])
    rows = Candidates(
        oriented,
        request.signs,
        tie,
        group,
        n_groups,
        np.concatenate(safe),
        request.prune,
        target(n_rows, request.prune),
    )
    return Table(rows, found, codes)


def _check_scores(score: NDArray[np.float64], column: str, source: Source, request: Request) -> None:
    bad = ~np.isfinite(score)
    if bad.any():
        first = _id_at(int(bad.argmax()), source, request)
        raise UserError(
            f"{request.where}: column '{column}' is missing, NaN or infinite in {_rows(int(bad.sum()))},"
            f" the first with id {first!r}; score them or leave them out"
        )
    with np.errstate(over="ignore"):
        if not np.isfinite(score.max() - score.min()):
            raise UserError(f"{request.where}: column '{column}' spans more than a float64 holds; rescale it")


def _id_at(row: int, source: Source, request: Request) -> object:
    for frame in source([request.id]):
        if row < frame.height:
            return frame[request.id][row]
        row -= frame.height
    return None


def refuse_repeated_ids(tie: Words, source: Source, request: Request) -> None:
    """Refuse a table in which an id occurs twice, such as shards that overlap.

    Rows of equal hash are found by sorting; only their ids are compared.
    """
    suspects = _repeated(tie)[:_LOOKED_UP]
    if not len(suspects):
        return
    found: Counter[str] = Counter()
    for frame in source([request.id]):
        ids = frame[request.id]
        found.update(ids.filter(np.isin(hash_ids(ids, request.seed), suspects)).cast(pl.String).to_list())
    repeated = [row_id for row_id, count in found.items() if count > 1]
    if repeated:
        raise UserError(
            f"{request.where}: id {repeated[0]!r} is in {found[repeated[0]]} rows;"
            f" the ids in column '{request.id}' must be unique"
        )


def _repeated(tie: Words) -> Words:
    ordered = np.sort(tie)
    return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
