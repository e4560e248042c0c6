"""Entropy of the predicted tokens."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.scores.read import array
from thresher.scores.registry import score


@score(
    "entropy",
    needs=("entropy",),
    hard="high",
    runs="all",
    cost="nothing beyond the recorded training of a language model",
    source="Q-Tuning (2025): rows of a language model by perplexity and entropy",
)
def entropy(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Entropy of what the model predicted in place of each completion token, on average over tokens and checkpoints.

        entropy = 1/C sum over checkpoints c of  1/T sum over tokens t of  - sum over v of p_ctv log p_ctv       nats; shape (N,)

    with p_ct the distribution over the vocabulary that token t of T was predicted by. High is hard: the model is undecided. It
    does not look at the token itself: a confident mistake has a low entropy and a high loss. Only of rows whose target is a text.

    Raises MissingSignal: the signals lack `entropy`: no language model was recorded.

    >>> signals = pl.DataFrame({"entropy": [[1.0, 0.5]]}, schema={"entropy": pl.Array(pl.Float32, 2)})
    >>> entropy(signals, pl.DataFrame()).to_list()
    [0.75]
    """
    return pl.Series("entropy", array(signals, "entropy").astype(np.float64).mean(axis=1))
