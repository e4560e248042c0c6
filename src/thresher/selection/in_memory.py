"""Selection on a scores table in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from thresher.selection.decide import decide, kept, raised
from thresher.selection.groups import Codes
from thresher.selection.keys import records, survey
from thresher.selection.ranks import find_ranks, keyed
from thresher.selection.request import check
from thresher.selection.unique import refuse_repeated_ids

_PIECE = 1 << 20


def select(
    scores: pl.DataFrame | pl.LazyFrame,
    *,
    by: str | Sequence[str] | None,
    prune: float,
    end: Literal["easy", "hard"] = "easy",
    hard: Literal["high", "low"] | Sequence[Literal["high", "low"]] = "high",
    strategy: str = "cutoff",
    options: Mapping[str, Any] | None = None,
    stratify: str | None = None,
    floor: int = 0,
    floor_group: Sequence[str] = (),
    protect: Sequence[str] = (),
    seed: int = 0,
) -> pl.DataFrame:
    """Decide which rows of a scores table are kept.

    The strategy gives each row a key; the round((1 - prune) N) rows with the largest keys are kept, equal
    keys in the order of a hash of (seed, id). The result depends on the ids, the scores and the settings
    alone: not on the row order, the library versions or the machine (up to the last bit of the logarithm in
    sampling keys).

    Parameters
    ----------
    scores
        one row per data row: `id` (unique; text or whole number), the score and the columns named below.
    by
        the score column; may be None for strategies that read no score, and several for `mixed`.
    prune
        share of the rows to drop, in (0, 1).
    end, hard
        the end to prune, and the end of the score at which the hard rows are (PVI: low, the others: high).
        Samplers give the rows of the other end the larger weights. With several columns `hard` may name one
        end for each.
    strategy, options
        a name in `strategies()` and its options, such as {"temperature": 0.5}.
    stratify
        column within whose groups keys are compared; each group keeps its share of the rows (largest
        remainder). It works with every strategy, and `stratified` needs it: class quotas, the cut within each
        class, are `stratify="label"`.
    floor, floor_group
        keep at least `floor` rows of every value of every one of these columns: those with the largest keys.
        The total stays the same as long as the floors fit into it; a warning says so when they do not.
    protect
        "COLUMN=VALUE": rows that are never dropped. They count towards the total and the floors.
    seed
        of the hash, 0 <= seed < 2**64.

    Returns
    -------
    pl.DataFrame
        `id`, `key` (Float64; +inf for rows kept by a floor or protected), `kept` (Boolean), in the order of
        the input.

    Raises
    ------
    UserError
        an unknown strategy, option or column; a value outside its range; missing, NaN or infinite scores;
        repeated ids; or nothing would be kept.

    Source: paper B.2 and C.3.

    >>> table = pl.DataFrame({"id": ["a", "b", "c", "d"], "vog": [0.3, 0.1, 0.9, 0.5]})
    >>> select(table, by="vog", prune=0.5).filter("kept")["id"].to_list()
    ['c', 'd']
    >>> select(table, by="vog", prune=0.5, protect=["id=b"]).filter("kept")["id"].to_list()
    ['b', 'c']
    """
    schema = scores.collect_schema()
    request = check(
        schema,
        where="scores",
        id="id",
        by=by,
        prune=prune,
        end=end,
        hard=hard,
        strategy=strategy,
        options=options or {},
        stratify=stratify,
        floor=floor,
        floor_group=floor_group,
        protect=protect,
        seed=seed,
    )
    table = scores.lazy().select(request.columns).collect()

    def source(columns: list[str]) -> Iterator[pl.DataFrame]:
        return (table[start : start + _PIECE].select(columns) for start in range(0, table.height, _PIECE))

    n_rows, spreads = survey(source, request)
    codes: dict[str, Codes] = {}
    pieces = list(records(source, request, spreads, codes))
    refuse_repeated_ids(source, lambda: iter(pieces), request, n_rows)
    ranks = find_ranks(lambda: iter(pieces), request, codes)
    pieces = [keyed(piece, request, spreads, ranks) for piece in pieces]
    decision = decide(lambda: iter(pieces), request, n_rows, codes, ranks.width)
    key, keep = np.empty(n_rows), np.empty(n_rows, dtype=np.bool_)
    start = 0
    for piece in pieces:
        lifted = raised(piece, decision.floors)
        key[start : start + len(piece)] = lifted["key"]
        keep[start : start + len(piece)] = kept(lifted, decision)
        start += len(piece)
    return pl.DataFrame({"id": table["id"], "key": key, "kept": keep})
