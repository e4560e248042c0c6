"""Loss of a whole completion."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.scores.probability import label_log_probability
from thresher.scores.read import array
from thresher.scores.registry import score


@score(
    "loss_sum",
    needs=("logits", "n_completion"),
    hard="high",
    runs="all",
    cost="nothing beyond the recorded training of a language model",
    source="the negative log-likelihood of the completion",
)
def loss_sum(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Loss of the whole completion, on average over the training: the sum over its tokens, where `loss` is their mean.

        loss sum = 1/C sum over checkpoints c of  sum over tokens t of  - log p_ct(y_t)       nats; shape (N,)

    High is hard. It grows with the length of the completion: rank by it only where a long row may count for more than a short
    one. Only of rows whose target is a text.

    Raises MissingSignal: the signals lack `n_completion`: no language model was recorded.

    >>> kind = {"loss": pl.Array(pl.Float32, 2), "n_completion": pl.Int32}
    >>> loss_sum(pl.DataFrame({"loss": [[1.0, 0.5]], "n_completion": [4]}, schema=kind), pl.DataFrame()).to_list()
    [3.0]
    """
    tokens = array(signals, "n_completion").astype(np.float64)
    return pl.Series("loss_sum", -label_log_probability(signals).mean(axis=1) * tokens)
