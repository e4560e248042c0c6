"""Selection on a scores table in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import polars as pl

from thresher.selection.decide import decide
from thresher.selection.read import read
from thresher.selection.request import check


def select(
    scores: pl.DataFrame | pl.LazyFrame,
    *,
    by: str | Sequence[str] | None,
    prune: float,
    end: Literal["easy", "hard"] = "easy",
    hard: Literal["high", "low"] | Sequence[Literal["high", "low"]] = "high",
    strategy: str = "cutoff",
    options: Mapping[str, object] | None = None,
    stratify: str | None = None,
    floor: int = 0,
    floor_group: Sequence[str] = (),
    protect: Sequence[str] = (),
    seed: int = 0,
) -> pl.DataFrame:
    """Decide which rows of a scores table are kept.

    The strategy gives each row a key; the round((1 - prune) N) rows with the largest keys are kept, equal keys in the order
    of a hash of (seed, id). The result depends on the ids, the scores and the settings alone, not on the row order, the
    library versions or the machine (up to the last bit of the logarithm in sampling keys).

    Parameters
    ----------
    scores
        one row per data row: `id` (unique; text or whole number), the score and the columns named below.
    by
        the score column; None for strategies that read no score, several columns for `mixed`.
    prune
        share of the rows to drop, in (0, 1).
    end, hard
        the end to prune, and the end of the score where the hard rows are (PVI: low; most others: high). Samplers give the
        rows of the other end the larger weights. With several columns `hard` may name one end for each.
    strategy, options
        a name in `strategies()` and its options, such as {"temperature": 0.5}.
    stratify
        column within whose groups keys are compared; each group keeps its share of the rows (largest remainder). It works
        with every strategy, and `stratified` needs it: `stratify="label"` with `cutoff` cuts within each class.
    floor, floor_group
        keep at least `floor` rows of every value of every one of these columns: those with the largest keys. The total stays
        the same if the floors fit into it; otherwise a warning says so.
    protect
        "COLUMN=VALUE": rows that are never dropped. They count towards the total and the floors.
    seed
        of the hash, 0 <= seed < 2**64.

    Returns `id`, `key` (Float64; +inf for rows kept by a floor or protected), `kept` (Boolean), in the order of the input.

    Raises UserError: an unknown strategy, option or column; a value outside its range; missing, NaN or infinite scores;
    repeated ids; or nothing would be kept.

    Source: paper B.2 and C.3.

    >>> table = pl.DataFrame({"id": ["a", "b", "c", "d"], "vog": [0.3, 0.1, 0.9, 0.5]})
    >>> select(table, by="vog", prune=0.5).filter("kept")["id"].to_list()
    ['c', 'd']
    >>> select(table, by="vog", prune=0.5, protect=["id=b"]).filter("kept")["id"].to_list()
    ['b', 'c']
    """
    request = check(
        scores.collect_schema(),
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
    decision = decide(read(lambda columns: [table.select(columns)], request), request)
    return pl.DataFrame({"id": table["id"], "key": decision.key, "kept": decision.kept})
