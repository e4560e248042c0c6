"""Dataset cartography: correctness."""

from __future__ import annotations

import polars as pl

from thresher.scores.probability import right
from thresher.scores.registry import score


@score(
    "correctness",
    needs=("logits",),
    hard="low",
    runs="all",
    cost="all checkpoints of one training run; finer averaged over runs",
    source="Swayamdipta et al., EMNLP 2020 (arXiv 2009.10795), section 2",
)
def correctness(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Correctness: the share of the checkpoints at which the model was right.

        correctness = 1/C sum over checkpoints c of  [argmax_k logits_c[k] = y]        0 to 1; shape (N,)

    Low is hard. It has few values (C + 1 in one run), so most rows are ties, ordered by the hash of their id.
    Averaged over the runs by `score_table`.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> signals = pl.DataFrame({"label": [0], "logits": [[[0.0, 1.0], [9.0, 0.0]]]}, schema_overrides=kind)
    >>> correctness(signals, pl.DataFrame()).to_list()
    [0.5]
    """
    return pl.Series("correctness", right(signals).mean(axis=1), dtype=pl.Float64)
