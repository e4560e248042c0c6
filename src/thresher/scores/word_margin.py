"""The margin of a model that sees the words alone."""

from __future__ import annotations

import polars as pl

from thresher.scores.read import MissingSignal
from thresher.scores.registry import score


@score(
    "word_margin",
    needs=("word_margin",),
    hard="low",
    runs=1,
    cost="a linear model of the words, seconds for 15,000 rows; no training of the model",
    source="ours; the held-out margin of Northcutt et al., JAIR 2021, section 3, by a bag of words",
)
def word_margin(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Word margin: how clearly the words of the text alone indicate the label, to a model that has not seen the row.

        p[y] - max over k != y of p[k]        probabilities, -1 to 1; shape (N,)

    with p by a linear model on the words and pairs of words, 5-fold cross-validation, mean over two divisions (`measure.words`;
    `training/words.py`). Low is hard: the words are those of another class, or of none. The model ignores meaning, so it finds
    other rows hard than an encoder does. It says less if classes differ by word order, as in inference between two sentences.

    >>> word_margin(pl.DataFrame({"word_margin": [0.9, -0.2]}), pl.DataFrame()).to_list()
    [0.9, -0.2]
    """
    if "word_margin" not in signals.columns:
        raise MissingSignal("the linear model of the words was not trained; `--words` trains it")
    return signals["word_margin"].cast(pl.Float64)
