"""Error l2 norm over the training."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from thresher.scores.probability import error_norms
from thresher.scores.read import by_index
from thresher.scores.registry import score


@score(
    "el2n_mean",
    needs=("logits",),
    hard="high",
    runs="all",
    cost="all checkpoints of one training run; steadier averaged over runs",
    source="EL2N (Paul, Ganguli and Dziugaite, NeurIPS 2021) averaged over checkpoints; ours",
)
def el2n_mean(
    signals: pl.DataFrame, checkpoints: pl.DataFrame, *, window: Literal["all", "first-quarter"] = "all"
) -> pl.Series:
    """Mean error l2 norm: how far the predicted probabilities were from the label while the model trained.

        mean EL2N = 1/C sum over checkpoints c of  || softmax(logits_c) - onehot(y) ||_2

    between 0 and sqrt(2), no unit; shape (N,). `window="first-quarter"` takes the checkpoints up to a quarter of the
    last one's epoch, at least one. High is hard. One early EL2N is noisy from run to run and a late one is close to
    zero for every row; the mean is steadier than either. Averaged over the runs by `score_table`. Of a row whose target is a text
    each is the mean over its completion tokens.

    Raises MissingSignal: the signals lack `logits`, or (first-quarter) there are no checkpoints.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> signals = pl.DataFrame({"label": [0], "logits": [[[0.0, 0.0], [99.0, 0.0]]]}, schema_overrides=kind)
    >>> el2n_mean(signals, pl.DataFrame()).round(4).to_list()
    [0.3536]
    """
    upto = None
    if window == "first-quarter":
        epochs = by_index(checkpoints, "epoch")
        upto = max(1, int((epochs <= epochs[-1] / 4).sum()))
    return pl.Series("el2n_mean", np.mean(error_norms(signals, upto), axis=1), dtype=pl.Float64)
