"""From a scores table to one small record per row: the key, the tie-breaker and the numbers of its groups."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.errors import UserError
from thresher.selection.exact_sum import exact_mean, exact_sum
from thresher.selection.groups import Codes, encode, protected
from thresher.selection.registry import Numbers, Spread
from thresher.selection.request import Request
from thresher.selection.row_hash import hash_ids, uniform

# A pass over the named columns of the table, piece by piece, always in the same order.
Source = Callable[[list[str]], Iterator[pl.DataFrame]]
Records = NDArray[Any]


def record_type(request: Request) -> np.dtype[Any]:
    """The record of one row: key, tie, and the number of its group in `stratify` and in each floor column.

    For a strategy that goes by ranks the key is the score at first, and `protected` is kept beside it; so is `reached`, the
    second score column, where it is read.
    """
    protected = [("protected", np.bool_)] if request.strategy.ranks else []
    reached = [("reached", np.float64)] if request.strategy.reach is not None else []
    floors = [(f"floor {column}", np.int32) for column in request.floored]
    fields = [("key", np.float64), ("tie", np.uint64), ("stratum", np.int32), *protected, *reached, *floors]
    return np.dtype(fields, align=True)


def survey(source: Source, request: Request) -> tuple[int, tuple[Spread, ...]]:
    """The number of rows and the spread of each score column.

    Raises
    ------
    UserError
        no rows, rows without an id, or scores that are missing, NaN or infinite: how many, and the first id.
    """
    n_rows, without_id = 0, 0
    without_score = dict.fromkeys(request.by, 0)
    low, high = dict.fromkeys(request.by, np.inf), dict.fromkeys(request.by, -np.inf)
    total = dict.fromkeys(request.by, 0)
    for frame in source(request.scored):
        n_rows += frame.height
        without_id += frame[request.id].null_count()
        for column, sign in zip(request.by, request.signs, strict=True):
            values = _scores(frame, column)
            finite = np.isfinite(values)
            without_score[column] += int(frame.height - finite.sum())
            wanted = values[finite] * sign
            low[column] = min(low[column], wanted.min(initial=np.inf))
            high[column] = max(high[column], wanted.max(initial=-np.inf))
            if "mean" in request.strategy.facts:
                total[column] += exact_sum(wanted)
    if n_rows == 0:
        raise UserError(f"{request.where}: no rows; give a table with at least one")
    if without_id:
        raise UserError(
            f"{request.where}: column '{request.id}' is empty in {_rows(without_id)}; every row needs an id"
        )
    for column, count in without_score.items():
        if count:
            raise UserError(
                f"{request.where}: column '{column}' is missing, NaN or infinite in {_rows(count)},"
                f" the first with id {_first_without_score(source, request, column)!r};"
                " score them or leave them out"
            )
        with np.errstate(over="ignore"):
            if not np.isfinite(high[column] - low[column]):
                raise UserError(
                    f"{request.where}: column '{column}' spans more than a float64 holds; rescale it"
                )
    spreads = (
        Spread(
            float(low[column]),
            float(high[column]),
            exact_mean(total[column], n_rows),
            kept=1.0 - request.prune,
        )
        for column in request.by
    )
    return n_rows, tuple(spreads)


def records(
    source: Source, request: Request, spreads: tuple[Spread, ...], codes: dict[str, Codes]
) -> Iterator[Records]:
    """One record per row, piece by piece; protected rows have the key +inf, which nothing else has.

    `codes` is filled: the numbers of the values of each group column.
    """
    layout = record_type(request)
    unmatched = set(request.protect)
    for frame in source(request.columns):
        piece = np.zeros(frame.height, dtype=layout)
        piece["tie"] = hash_ids(frame[request.id], request.seed)
        safe = protected(frame, request.protect)
        if request.strategy.ranks:
            wanted = _wanted(frame, request)
            piece["key"] = wanted[:, 0] if request.strategy.reach is not None else wanted
            piece["protected"] = safe
            if request.strategy.reach is not None:
                piece["reached"] = _scores(frame, request.by[1])
        else:
            u = uniform(np.ascontiguousarray(piece["tie"]))
            piece["key"] = key_of(request, _wanted(frame, request), u, spreads)
            piece["key"][safe] = np.inf
        if request.stratify is not None:
            piece["stratum"] = encode(frame[request.stratify], codes.setdefault(request.stratify, {}))
        for column in request.floored:
            piece[f"floor {column}"] = encode(frame[column], codes.setdefault(column, {}))
        if unmatched:
            unmatched -= {pair for pair in unmatched if protected(frame, (pair,)).any()}
        yield piece
    for column, value in sorted(unmatched):
        warnings.warn(f"{request.where}: protect '{column}={value}' matches no row", stacklevel=2)


def key_of(request: Request, wanted: Numbers, u: Numbers, spreads: tuple[Spread, ...]) -> Numbers:
    """What the strategy makes of these rows."""
    known: Spread | tuple[Spread, ...] = (
        spreads if request.strategy.several else (*spreads, Spread(0.0, 0.0))[0]
    )
    key: Numbers = request.strategy.function(wanted, u, known, **request.options)
    return key


def _wanted(frame: pl.DataFrame, request: Request) -> Numbers:
    """The scores, turned so that large means "keep": (n,), or (n, M) for a strategy that takes several columns."""
    turned = [
        _scores(frame, column) * sign for column, sign in zip(request.by, request.signs, strict=True)
    ] or [np.zeros(frame.height)]
    return np.stack(turned, axis=1) if request.strategy.several else turned[0]


def _scores(frame: pl.DataFrame, column: str) -> Numbers:
    """A score column, missing values as NaN."""
    return frame[column].cast(pl.Float64).to_numpy()


def _first_without_score(source: Source, request: Request, column: str) -> object:
    for frame in source(request.scored):
        bad = np.flatnonzero(~np.isfinite(_scores(frame, column)))
        if len(bad):
            return frame[request.id][int(bad[0])]
    return None


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"
