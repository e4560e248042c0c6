"""Difficulty of a row for the stricter of two models that were not trained on it."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy.stats import rankdata

from thresher.scores.read import MissingSignal, labels
from thresher.scores.registry import score

VIEWS = ("held_out_margin", "word_margin")


@score(
    "hardest_view",
    needs=("held_out_logits", "word_margin"),
    hard="low",
    runs="all",
    reads="scores",
    columns=("label",),
    made_of=lambda skill: VIEWS,
    cost="what the held-out margin and the word margin cost",
    source="ours: research/study/fine-tuned.md; two views of a row as in Blum and Mitchell, COLT 1998",
)
def hardest_view(table: pl.DataFrame, signals: pl.DataFrame, *, skill: float = 0.75) -> pl.Series:
    """Hardest view: the lower of a row's ranks by the held-out margin and by the margin of its words alone.

        hardest_view = min over the two views v of  (rank of the row's margin by v, hardest = 1) / N     above 0, at most 1; (N,)

    Rows of equal margin share their mean rank. Low is hard: a row is hard if either of the two models, neither of which has seen
    it, finds it so. A frozen encoder finds rows easy that a fine-tuned model has yet to learn; of those, the rows whose words
    indicate their label badly count as hard.

    Words count only if they indicate labels. With a(v) the share of rows of positive margin and a0 that of the largest class:

        a(words)  >  a0        and        a(words) - a0  >=  skill (a(held out) - a0)

    Otherwise there is no such score, because an uninformative view would make rows hard at random.

    Raises MissingSignal: no held-out margins or no word margins, or words that say too little about the labels.

    >>> table = pl.DataFrame({"held_out_margin": [3.0, 1.0, 2.0, 4.0], "word_margin": [0.1, 0.9, 0.8, 0.7]})
    >>> hardest_view(table, pl.DataFrame({"label": [0, 1, 0, 1]})).to_list()
    [0.25, 0.25, 0.5, 0.5]
    """
    missing = [name for name in VIEWS if name not in table.columns]
    if missing:
        raise MissingSignal(f"it needs {' and '.join(missing)}")
    margins = [table[name].to_numpy() for name in VIEWS]  # V of (N,)
    n = table.height
    right, by_words = ((one > 0).mean() for one in margins)
    largest = np.bincount(labels(signals)).max() / n
    # A model below the largest class sets no bar for words: both sides of the second comparison are negative then.
    if by_words <= largest or by_words - largest < skill * (right - largest):
        raise MissingSignal(
            f"the words alone say too little: {by_words:.0%} of the labels, the model {right:.0%},"
            f" the largest class {largest:.0%}"
        )
    return pl.Series("hardest_view", np.minimum(*map(rankdata, margins)) / n, dtype=pl.Float64)
