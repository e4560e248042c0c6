"""Select the training rows of a stack: any strategy, restricted to some sources, with floors for small domains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from thresher.errors import UserError
from thresher.scores import hard_end
from thresher.selection import select
from thresher.selection.request import check_share
from thresher.wording import listed

FLOOR = 20  # rows of a domain; domains below this regressed in the paper


def choose(
    table: pl.DataFrame,
    *,
    by: str | Sequence[str] | None,
    prune: float,
    strategy: str = "linear",
    sources: Sequence[str] = (),
    floor: int = FLOOR,
    protect: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    end: str = "easy",
    hard: str | None = None,
    seed: int = 0,
) -> pl.DataFrame:
    """Decide which rows are kept; `thresher.selection.select` on the rows that may be pruned.

    Parameters
    ----------
    table
        `id, domain, intent, source` and score columns.
    by, strategy, options, end, seed
        as `select` takes them; `stratified` keeps the proportions of the domains, and `mixed` draws by several columns: the
        paper's mean of sampling scores.
    hard
        the end of the score that is hard; by default as registered for the score, else "high".
    prune
        share to drop, of the rows that may be pruned.
    sources
        the sources to prune; rows of all others are kept. By default all are pruned.
    floor
        least number of rows to keep of every domain.
    protect
        "COLUMN=VALUE" rows that are kept, such as those of a new intent.

    Returns
    -------
    `id, key, kept`, in the order of the table.

    Raises
    ------
    UserError
        an unknown source, or what `select` refuses.

    >>> columns = {"domain": "x", "source": ["old", "old", "new", "new"], "vog": [4, 3, 2, 1]}
    >>> table = pl.DataFrame({"id": ["a", "b", "c", "d"], **columns})
    >>> found = choose(table, by="vog", prune=0.5, strategy="cutoff", sources=["old"], floor=0)
    >>> found.filter("kept")["id"].to_list()
    ['a', 'c', 'd']
    """
    check_share(prune)
    there = table["source"].unique().to_list() if "source" in table.columns else []
    unknown = [name for name in sources if name not in there]
    if unknown:
        known = f"the sources are {listed(sorted(map(str, there)))}" if there else "the rows have no sources"
        raise UserError(f"no rows of source '{unknown[0]}'; {known}")
    named = [by] if isinstance(by, str) else by or ()
    kept_whole = [f"source={name}" for name in there if sources and name not in sources]
    prunable = table.filter(pl.col("source").is_in(list(sources))).height if sources else table.height
    return select(
        table,
        by=by,
        prune=prune * prunable / table.height,
        strategy=strategy,
        options=dict(options or {}),
        stratify="domain" if strategy == "stratified" else None,
        floor=floor,
        floor_group=("domain",) if floor else (),
        protect=[*kept_whole, *protect],
        end=end,  # type: ignore[arg-type]
        hard=hard or [hard_end(one) for one in named] or "high",  # type: ignore[arg-type]
        seed=seed,
    )


def removed_by(rows: pl.DataFrame, kept: pl.DataFrame, column: str) -> pl.DataFrame:
    """Rows and the share removed, per value of a column (`domain`, `source`): `value, rows, kept, removed`.

    >>> rows = pl.DataFrame({"id": ["a", "b"], "source": ["old", "old"]})
    >>> removed_by(rows, pl.DataFrame({"id": ["a", "b"], "kept": [True, False]}), "source").row(0)
    ('old', 2, 1, 0.5)
    """
    joined = rows.select("id", pl.col(column).alias("value")).join(
        kept.select("id", "kept"), on="id", how="left"
    )
    return (
        joined.group_by("value")
        .agg(rows=pl.len(), kept=pl.col("kept").sum().cast(pl.Int64))
        .with_columns(removed=1 - pl.col("kept") / pl.col("rows"))
        .sort("value")
    )
