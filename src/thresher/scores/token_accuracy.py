"""Share of the completion tokens that the model would have chosen."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.scores.read import array
from thresher.scores.registry import score


@score(
    "token_accuracy",
    needs=("accuracy",),
    hard="low",
    runs="all",
    cost="nothing beyond the recorded training of a language model",
    source="correctness of Swayamdipta et al., EMNLP 2020 (arXiv 2009.10795), by token",
)
def token_accuracy(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Token accuracy: the share of the completion tokens that were the most probable ones, on average over the training.

        token accuracy = 1/C sum over checkpoints c of  1/T sum over tokens t of  [argmax_v p_ctv = y_t]       0 to 1; shape (N,)

    Low is hard. The tokens before t are those of the row, not the model's own. Only of rows whose target is a text; their
    `correctness` is the share of the checkpoints at which all tokens were right.

    Raises MissingSignal: the signals lack `accuracy`: no language model was recorded.

    >>> signals = pl.DataFrame({"accuracy": [[0.5, 1.0]]}, schema={"accuracy": pl.Array(pl.Float32, 2)})
    >>> token_accuracy(signals, pl.DataFrame()).to_list()
    [0.75]
    """
    return pl.Series("token_accuracy", array(signals, "accuracy").astype(np.float64).mean(axis=1))
