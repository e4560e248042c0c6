"""Loss over the training."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from thresher.scores.probability import label_log_probability
from thresher.scores.read import by_index
from thresher.scores.registry import score


@score(
    "loss",
    needs=("logits",),
    hard="high",
    runs="all",
    cost="all checkpoints of one training run; steadier averaged over runs",
    source="loss trajectories: Siddiqui et al., ICLR 2023 (arXiv 2209.10015)",
)
def loss(
    signals: pl.DataFrame, checkpoints: pl.DataFrame, *, form: Literal["mean", "area", "last"] = "mean"
) -> pl.Series:
    """Loss of the row over the training, as one number.

    With L_c = - log softmax(logits_c)_y at checkpoint c of epoch t_c,

        mean:  1/C sum_c L_c                                          nats
        area:  sum_c (L_c + L_(c+1)) / 2 * (t_(c+1) - t_c)             nats x epochs, the area under the curve
        last:  L_C                                                    nats, what is not learned in the end

    Shape (N,). High is hard. Averaged over the runs by `score_table`. The whole trajectory of every row is
    `scores.probability.label_log_probability`. Of a row whose target is a text L_c is the mean over its completion tokens;
    `loss_sum` is the sum.

    Raises MissingSignal: the signals lack `logits`, or (area) there are no checkpoints.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> signals = pl.DataFrame({"label": [0], "logits": [[[0.0, 0.0], [99.0, 0.0]]]}, schema_overrides=kind)
    >>> trained = pl.DataFrame({"index": [0, 1], "epoch": [1.0, 3.0]})
    >>> [round(loss(signals, trained, form=form)[0], 4) for form in ("mean", "area", "last")]
    [0.3466, 0.6931, 0.0]
    """
    losses = -label_log_probability(signals)  # (N, C)
    if form == "area":
        steps = np.diff(by_index(checkpoints, "epoch"))
        values = np.einsum("nc,c->n", (losses[:, 1:] + losses[:, :-1]) / 2, steps)
    else:
        values = losses.mean(axis=1) if form == "mean" else losses[:, -1]
    return pl.Series("loss", values + 0.0, dtype=pl.Float64)
