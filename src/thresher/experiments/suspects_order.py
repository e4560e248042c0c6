"""The order of the suspects: by a score, or by the mean of the ranks of two."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.stats import rankdata

from thresher.errors import UserError
from thresher.scores import column
from thresher.scores.columns import hard_is_high
from thresher.wording import shown

# The default order: by the mean of a row's ranks where the run has all of these, else by the first of them.
AUTO = ("aum", "word_margin")


def ordered(table: pl.DataFrame, by: str) -> tuple[pl.Series, bool]:
    """The values that order the suspects, (N,), and whether large ones come first.

    `by` is a score or a column, whose hard end comes first. "auto": with the AUM and the word margin of every row

        score = (rank by AUM + rank by word margin) / 2 N        above 0, at most 1; lowest first

    with ranks from 1, the hardest row, and the mean rank for equal values; without the word margin, the AUM itself.

    Raises UserError: no such score or column, or one that is not a finite number for every row.

    >>> table = pl.DataFrame({"id": ["a", "b"], "label": ["on", "off"], "aum": [4.0, -2.0], "word_margin": [0.5, 0.1]})
    >>> ordered(table, "auto")[0].to_list(), ordered(table.drop("word_margin"), "auto")[0].to_list()
    ([1.0, 0.5], [4.0, -2.0])
    """
    names = auto_names(table) if by == "auto" else [by]
    if len(names) > 1:
        ranks = [rankdata(-hard_is_high(table, name)) for name in names]
        return pl.Series(np.mean(ranks, axis=0) / table.height), False
    where, hard = column(names[0], "auto", table.columns)
    if not table[where].dtype.is_numeric():
        raise UserError(
            f"column '{shown(where)}' is {table[where].dtype}, not a number; give a score with by"
        )
    values = table[where].cast(pl.Float64)
    missing = int((~values.is_finite().fill_null(False)).sum())
    if missing:
        raise UserError(
            f"column '{shown(where)}' is not a finite number for {missing:,} rows; give another score with by"
        )
    return values, hard == "high"


def auto_names(table: pl.DataFrame) -> list[str]:
    """The scores that "auto" orders by: those of `AUTO` if the table has them all, else the first, or the confidence.

    >>> auto_names(pl.DataFrame(schema=["aum", "pvi"])), auto_names(pl.DataFrame(schema=["pvi"]))
    (['aum'], ['confidence'])
    """
    if set(AUTO) <= set(table.columns):
        return list(AUTO)
    return [AUTO[0] if AUTO[0] in table.columns else "confidence"]
