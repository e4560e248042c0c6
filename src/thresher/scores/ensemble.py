"""Ensemble of scores."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.stats import rankdata

from thresher.scores.columns import hard_is_high
from thresher.scores.registry import score


@score(
    "ensemble",
    needs=(),
    hard="high",
    runs="all",
    reads="scores",
    columns=(),
    made_of=lambda of: of,
    cost="what the scores that it is made of cost",
    source="ours: mean rank (Borda count) over scores",
)
def ensemble(
    table: pl.DataFrame, signals: pl.DataFrame, *, of: tuple[str, ...] = ("aum", "el2n_mean", "vog")
) -> pl.Series:
    """Mean of the ranks that several scores give the row, from the easiest to the hardest.

        ensemble = 1/M sum over scores m of  (rank of the row by m, hard = N) / N        above 0, at most 1; shape (N,)

    Each score counts by the column that it selects by (VoG: class-normalised), turned so that hard rows are high;
    rows of equal score share their mean rank. `of` takes scores or columns: `--score-option ensemble.of=pvi,vog_dataset`.

    Raises MissingSignal: one of the scores was not computed.
    Raises UserError: no such score or column.

    >>> table = pl.DataFrame({"id": ["a", "b"], "el2n": [0.2, 0.9], "pvi": [3.0, -1.0]})  # of PVI, low is hard
    >>> ensemble(table, pl.DataFrame(), of=("el2n", "pvi")).to_list()
    [0.5, 1.0]
    """
    total = np.zeros(table.height)
    for name in of:
        total += rankdata(hard_is_high(table, name)) / max(table.height, 1)
    return pl.Series("ensemble", total / len(of), dtype=pl.Float64)
