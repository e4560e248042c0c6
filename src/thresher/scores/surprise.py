"""How much more the completion surprises the model than the model itself expects."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.scores.probability import label_log_probability
from thresher.scores.read import array
from thresher.scores.registry import score


@score(
    "surprise",
    needs=("logits", "entropy"),
    hard="high",
    runs="all",
    cost="nothing beyond the recorded training of a language model",
    source="ours: the surprisal of the tokens less its expectation",
)
def surprise(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Surprise: the loss of the completion less the entropy of the predictions, on average over tokens and checkpoints.

        surprise = 1/C sum over checkpoints c of  1/T sum over tokens t of  ( - log p_ct(y_t) - H(p_ct) )       nats; shape (N,)

    with H(p) = - sum over v of p_v log p_v. A token that is drawn from the model's prediction has a loss of H on average, so the
    surprise of a row that the model knows how to answer is about 0, however open the answer is. It is large where the model
    expects something else and is sure of it: a completion that does not fit its prompt. High is hard. Only of rows whose target
    is a text.

    Raises
    ------
    MissingSignal
        the signals lack `entropy`: no language model was recorded.

    >>> kind = pl.Array(pl.Float32, 2)
    >>> signals = pl.DataFrame({"loss": [[3.0, 2.0]], "entropy": [[1.0, 0.5]]}, schema={"loss": kind, "entropy": kind})
    >>> surprise(signals, pl.DataFrame()).to_list()
    [1.75]
    """
    expected = array(signals, "entropy").astype(np.float64)
    return pl.Series("surprise", (-label_log_probability(signals) - expected).mean(axis=1))
