"""Dataset cartography: confidence."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.scores.probability import label_log_probability
from thresher.scores.registry import score


@score(
    "confidence",
    needs=("logits",),
    hard="low",
    runs="all",
    cost="all checkpoints of one training run; steadier averaged over runs",
    source="Swayamdipta et al., EMNLP 2020 (arXiv 2009.10795), section 2",
)
def confidence(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Confidence: the probability that the model gave the label, on average over the training.

        confidence = 1/C sum over checkpoints c of  softmax(logits_c)_y        0 to 1; shape (N,)

    Low is hard: with low variability the row is hard to learn, and perhaps mislabelled. It is the vertical axis of
    the data map. Averaged over the runs by `score_table`.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> signals = pl.DataFrame({"label": [0], "logits": [[[0.0, 0.0], [99.0, 0.0]]]}, schema_overrides=kind)
    >>> confidence(signals, pl.DataFrame()).to_list()
    [0.75]
    """
    probability = np.exp(label_log_probability(signals))  # (N, C)
    return pl.Series("confidence", probability.mean(axis=1), dtype=pl.Float64)
