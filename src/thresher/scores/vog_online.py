"""Online VoG: the variance of a row's gradient over the steps of the training that used the row."""

from __future__ import annotations

import polars as pl

from thresher.scores.read import array
from thresher.scores.registry import score


@score(
    "vog_online",
    needs=("gradient_sq_mean", "gradient_mean_sq"),
    hard="high",
    runs=1,
    normalise="rank",
    cost="nothing beyond the recorded training",
    source="after VoG, in one pass; sketch: Charikar, Chen and Farach-Colton, ICALP 2002",
)
def vog_online(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Variance of the gradients of a row, recorded during the training itself.

        VoG = 1/V sum_v |g_v|^2  -  |1/V sum_v g_v|^2        shape (N,)

    over the V training steps that used the row, with g_v the gradient of the row's own loss by the output of the embedding
    layer (tokens x width). The first term is exact, the second is estimated without bias from a sketch of fixed width; so a
    value may be slightly below zero.

    It differs from the VoG of the measuring pass: it is of the loss, not of the true class's logit; in training mode with
    dropout; and at the steps that used the row rather than at checkpoints that all rows share. Its tail is heavier, so
    selection uses the rank within the class (research/while_training/while-you-train.md says what the standard score costs).

    Raises MissingSignal: the training was not recorded, or recorded without VoG.

    >>> signals = pl.DataFrame({"gradient_sq_mean": [2.0, 1.0], "gradient_mean_sq": [0.5, 1.0]})
    >>> vog_online(signals, pl.DataFrame()).to_list()
    [1.5, 0.0]
    """
    return pl.Series("vog_online", array(signals, "gradient_sq_mean") - array(signals, "gradient_mean_sq"))
