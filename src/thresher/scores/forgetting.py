"""Forgetting events."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from thresher.scores.read import MissingSignal, array
from thresher.scores.registry import score


@score(
    "forgetting",
    needs=("correct",),
    hard="high",
    runs="all",
    cost="evaluations of the whole set during training; steadier averaged over runs (the paper: 3)",
    source="Toneva et al., ICLR 2019; Anand et al., EMNLP 2023, sections 2.1 and B.1",
)
def forgetting(
    signals: pl.DataFrame, checkpoints: pl.DataFrame, *, never: Literal["max", "zero"] = "max"
) -> pl.Series:
    """Forgetting events: how often a row goes from classified correctly to incorrectly.

        forgetting = sum over e = 1 .. E-1 of  [correct_e and not correct_(e+1)]        events; shape (N,)

    over the E evaluations of the whole set during the run, in step order. Averaged over the runs by
    `score_table`.

    Where the paper is ambiguous: rows that no evaluation found correct have no event to forget. They are the
    hardest of all rows, so `never="max"` (the default) gives them E + 1 in that run, more than any count
    can be; `never="zero"` keeps the plain count of 0, which puts them among the easiest. A row never learned
    in some of the runs gets the average.

    Of a row whose target is a text it is the mean over its completion tokens, each counted as above: a long completion has no
    more of it for its length.

    Raises MissingSignal: the signals lack `correct`, or it holds fewer than two evaluations.

    >>> correct = [[True, False, True, False], [True, True, True, True], [False, False, False, False]]
    >>> forgetting(pl.DataFrame({"correct": correct}), pl.DataFrame()).to_list()
    [2.0, 0.0, 5.0]
    """
    if "correct" not in signals.columns:
        raise MissingSignal("no evaluations of the whole set were made during training")
    correct = signals["correct"]
    counts = correct.list.len().fill_null(0).to_numpy()
    if signals.height and counts.min() < 2:
        raise MissingSignal(
            f"it needs two evaluations of the whole set during training, there are {counts.min()}"
        )
    if "tokens_forgotten" in signals.columns:
        unlearned = array(signals, "tokens_never_right") * (counts + 1.0 if never == "max" else 0.0)
        return pl.Series(
            "forgetting", (array(signals, "tokens_forgotten") + unlearned) / array(signals, "n_completion")
        )
    flat = correct.explode().to_numpy().astype(bool)  # all evaluations of row 0, then of row 1, ...
    row = np.repeat(np.arange(signals.height), counts)
    forgotten = flat[:-1] & ~flat[1:] & (row[:-1] == row[1:])
    events = np.bincount(row[:-1][forgotten], minlength=signals.height).astype(np.float64)
    if never == "max":
        learned = np.bincount(row[flat], minlength=signals.height) > 0
        events = np.where(learned, events, counts + 1.0)
    return pl.Series("forgetting", events, dtype=pl.Float64)
