"""From a scores table to one small record per row: the key, the tie-breaker and the numbers of its groups."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.errors import UserError
from thresher.selection.groups import Codes, encode, protected
from thresher.selection.registry import Numbers, Spread
from thresher.selection.request import Request
from thresher.selection.row_hash import hash_ids, uniform

# A pass over the named columns of the table, piece by piece, always in the same order.
Source = Callable[[list[str]], Iterator[pl.DataFrame]]
Records = NDArray[Any]


def record_type(request: Request) -> np.dtype[Any]:
    """The record of one row: key, tie, and the number of its group in `stratify` and in each floor column."""
    floors = [(f"floor {column}", np.int32) for column in dict.fromkeys(request.floor_group)]
    return np.dtype([("key", np.float64), ("tie", np.uint64), ("stratum", np.int32), *floors], align=True)


def survey(source: Source, request: Request) -> tuple[int, Spread]:
    """The number of rows and the spread of the scores.

    Raises
    ------
    UserError
        no rows, rows without an id, or scores that are missing, NaN or infinite: how many, and the first id.
    """
    n_rows, without_id, without_score = 0, 0, 0
    low, high = np.inf, -np.inf
    for frame in source(request.columns[: 2 if request.strategy.reads_score else 1]):
        n_rows += frame.height
        without_id += frame[request.id].null_count()
        if request.strategy.reads_score:
            finite = np.isfinite(_scores(frame, request))
            without_score += int(frame.height - finite.sum())
            wanted = _scores(frame, request)[finite] * request.sign
            low, high = min(low, wanted.min(initial=low)), max(high, wanted.max(initial=high))
    if n_rows == 0:
        raise UserError(f"{request.where}: no rows; give a table with at least one")
    if without_id:
        raise UserError(
            f"{request.where}: column '{request.id}' is empty in {_rows(without_id)}; every row needs an id"
        )
    if without_score:
        raise UserError(
            f"{request.where}: column '{request.by}' is missing, NaN or infinite in {_rows(without_score)},"
            f" the first with id {_first_without_score(source, request)!r}; score them or leave them out"
        )
    if not request.strategy.reads_score:
        return n_rows, Spread(0.0, 0.0)
    with np.errstate(over="ignore"):
        if not np.isfinite(high - low):
            raise UserError(
                f"{request.where}: column '{request.by}' spans more than a float64 holds; rescale it"
            )
    return n_rows, Spread(float(low), float(high))


def records(source: Source, request: Request, spread: Spread, codes: dict[str, Codes]) -> Iterator[Records]:
    """One record per row, piece by piece; protected rows have the key +inf, which nothing else has.

    `codes` is filled: the numbers of the values of each group column.
    """
    layout = record_type(request)
    unmatched = set(request.protect)
    for frame in source(request.columns):
        piece = np.zeros(frame.height, dtype=layout)
        piece["tie"] = hash_ids(frame[request.id], request.seed)
        u = uniform(np.ascontiguousarray(piece["tie"]))
        wanted = _scores(frame, request) * request.sign if request.strategy.reads_score else np.zeros_like(u)
        piece["key"] = request.strategy.function(wanted, u, spread, **request.options)
        if request.stratify is not None:
            piece["stratum"] = encode(frame[request.stratify], codes.setdefault(request.stratify, {}))
        for column in request.floor_group:
            piece[f"floor {column}"] = encode(frame[column], codes.setdefault(column, {}))
        if request.protect:
            piece["key"][protected(frame, request.protect)] = np.inf
            unmatched -= {pair for pair in unmatched if protected(frame, (pair,)).any()}
        yield piece
    for column, value in sorted(unmatched):
        warnings.warn(f"{request.where}: protect '{column}={value}' matches no row", stacklevel=2)


def _scores(frame: pl.DataFrame, request: Request) -> Numbers:
    """The score column, missing values as NaN."""
    return frame[str(request.by)].cast(pl.Float64).to_numpy()


def _first_without_score(source: Source, request: Request) -> object:
    for frame in source(request.columns[:2]):
        bad = np.flatnonzero(~np.isfinite(_scores(frame, request)))
        if len(bad):
            return frame[request.id][int(bad[0])]
    return None


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
