"""Similarity of the selections by two scores, with its chance level."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError
from thresher.selection import select

Mask = npt.NDArray[np.bool_]
SCHEMA = {
    "score_a": pl.String,
    "score_b": pl.String,
    "end": pl.String,
    "fraction": pl.Float64,
    "similarity": pl.Float64,
    "chance": pl.Float64,
}


def similarity(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Similarity index |A and B| / |A or B| of two equal-sized selections; 0 (nothing shared) to 1 (equal).

    `a`, `b`: which of the same n rows are selected, (n,) boolean. Source: Anand et al., EMNLP 2023, section
    2.3.

    Raises ValueError: selections of different sizes, or of nothing.

    >>> similarity(np.array([True, True, False, False]), np.array([True, False, True, False]))
    0.3333333333333333
    """
    if a.sum() != b.sum() or not a.sum():
        raise ValueError(
            f"selections of {a.sum()} and {b.sum()} rows; the similarity index compares equal sizes"
        )
    return float((a & b).sum() / (a | b).sum())


def chance_similarity(rows: int, selected: int) -> float:
    """Expected similarity index of two independent random selections of `selected` of `rows` rows; 0 to 1.

        E[ I / (2k - I) ] = sum over i of  P(I = i) i / (2k - i),    I ~ Hypergeometric(n, k, k)

    which for many rows tends to p / (2 - p) with p = k / n: 0.026 for 5%, 0.111 for 20%, 0.290 for 45%.

    The paper prints a chance level of 0.11 beside "top 5%". Two selections of 5% share 0.026 by chance; 0.11
    is what two selections of 20% share, the share of rows with a changed label at 30% noise, where the paper
    prints 0.11 again.

    Raises ValueError: no rows selected, or more than there are.

    >>> round(chance_similarity(100_000, 5_000), 4), round(chance_similarity(100_000, 20_000), 4)
    (0.0256, 0.1111)
    >>> round(chance_similarity(2, 1), 4)  # the same row or the other one
    0.5
    """
    if not 0 < selected <= rows:
        raise ValueError(f"{selected} of {rows} rows selected; the chance level needs at least one")
    # Imported here: SciPy takes a second, which finished steps need not wait for.
    from scipy import stats

    shared = np.arange(selected + 1)
    probability = stats.hypergeom.pmf(shared, rows, selected, selected)
    return float(probability @ (shared / (2 * selected - shared)))


def similarity_table(table: pl.DataFrame, fraction: float, by: Sequence[str] | None = None) -> pl.DataFrame:
    """Similarity of the hard ends, and of the easy ends, of every pair of scores.

    `table`: the score table (`scores.parquet`). `fraction`: share of the rows at either end, 0 to 1. `by`: scores or columns to
    compare; by default every score of the table, normalised as it selects by default.

    Returns `score_a, score_b, end ("hard" | "easy"), fraction, similarity, chance`; every ordered pair, a score with itself
    included, so that it pivots into a square. `fraction` is as given; `chance` is that of the rows it comes to.

    Rows of equal score at the cut are chosen by a hash of their id, another one for each score: two scores
    that are both mostly ties do not look alike because of the same toss.

    Raises UserError: a fraction outside (0, 1) or of no row, an unknown score or column, no score at all.

    >>> values = {"el2n": [1.0, 2.0, 3.0, 4.0], "pvi": [9.0, 7.0, 5.0, 6.0]}  # of PVI, low is hard
    >>> table = pl.DataFrame({"id": ["a", "b", "c", "d"], "label": [0, 0, 1, 1], **values})
    >>> found = similarity_table(table, 0.25).filter(score_a="el2n", score_b="pvi")
    >>> found.select("end", "similarity", pl.col("chance").round(3)).rows()
    [('hard', 0.0, 0.25), ('easy', 1.0, 0.25)]
    """
    if not 0 < fraction < 1 or round(fraction * table.height) < 1:
        raise UserError(
            f"fraction {fraction} of {table.height} rows: give one between 0 and 1 that holds a row"
        )
    from thresher.scores import scores

    names = [name for name in scores() if name in table.columns] if by is None else list(by)
    if not names:
        raise UserError("the table holds no score to compare; compute one with `thresher score`")
    chosen = {(name, end): end_rows(table, name, end, fraction) for name in names for end in ("hard", "easy")}
    chance = chance_similarity(table.height, int(chosen[names[0], "hard"].sum()))
    return pl.DataFrame(
        [
            (a, b, end, fraction, similarity(rows, chosen[b, end]), chance)
            for (a, end), rows in chosen.items()
            for b in names
        ],
        schema=SCHEMA,
        orient="row",
    )


def end_rows(table: pl.DataFrame, name: str, end: str, fraction: float) -> Mask:
    """Which rows belong to the share at that end ("hard" or "easy") of the score, (n,)."""
    from thresher.scores import column

    where, hard = column(name, "auto", table.columns)
    kept = select(
        table.select("id", where),
        by=where,
        prune=1 - fraction,
        end="easy" if end == "hard" else "hard",
        hard=hard,
        seed=zlib.crc32(name.encode()),
    )
    mask: Mask = kept["kept"].to_numpy()
    return mask
