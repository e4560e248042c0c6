"""Dataset cartography: variability."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.scores.probability import label_log_probability
from thresher.scores.registry import score


@score(
    "variability",
    needs=("logits",),
    hard="high",
    runs="all",
    cost="all checkpoints of one training run; steadier averaged over runs",
    source="Swayamdipta et al., EMNLP 2020 (arXiv 2009.10795), section 2",
)
def variability(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Variability: how much the probability of the label moved while the model trained.

        variability = sqrt( 1/C sum over checkpoints c of (p_c - mean p)^2 ),  p_c = softmax(logits_c)_y

    between 0 and 1/2, no unit; shape (N,). High are the ambiguous rows, which the paper keeps; low are both the
    easy rows and those that the model never learns, so `end="easy"` drops both. It is the horizontal axis of the
    data map. Averaged over the runs by `score_table`.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> signals = pl.DataFrame({"label": [0], "logits": [[[0.0, 0.0], [99.0, 0.0]]]}, schema_overrides=kind)
    >>> variability(signals, pl.DataFrame()).to_list()
    [0.25]
    """
    probability = np.exp(label_log_probability(signals))  # (N, C)
    return pl.Series("variability", probability.std(axis=1), dtype=pl.Float64)
