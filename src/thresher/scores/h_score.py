"""H-score: the share of epochs and runs in which the model is right about a row."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.scores.probability import right
from thresher.scores.read import by_index, checkpoint_at
from thresher.scores.registry import score


@score(
    "h_score",
    needs=("logits",),
    hard="low",
    runs="all",
    cost="the end of every epoch of every run; the paper takes several runs",
    source="Tayaranian et al., CoLLAs 2024 (arXiv 2407.08887)",
)
def h_score(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """H-score: how often the model was right about the row at the end of an epoch.

        H = 1/E sum over epochs e of  [argmax_k logits_e[k] = y]        0 to 1; shape (N,)

    over the checkpoints nearest to the end of epochs 1 .. E, each counted once; a run shorter than one epoch has its
    last checkpoint. Averaged over the runs by `score_table`, so that it is the success rate over runs and epochs.
    Low is hard.

    Where the paper counts successes, this is their share: the same order, and one scale for any number of runs.

    Raises MissingSignal: the signals lack `logits`, or there are no checkpoints.

    >>> kind = {"logits": pl.Array(pl.Float32, (3, 2))}
    >>> rows = {"label": [0], "logits": [[[0.0, 1.0], [0.0, 1.0], [9.0, 0.0]]]}
    >>> trained = pl.DataFrame({"index": [0, 1, 2], "epoch": [0.5, 1.0, 2.0]})
    >>> h_score(pl.DataFrame(rows, schema_overrides=kind), trained).to_list()
    [0.5]
    """
    succeeded = right(signals)  # (N, C)
    epochs = np.arange(1, max(1, round(float(by_index(checkpoints, "epoch").max()))) + 1)
    ends = sorted({checkpoint_at(checkpoints, None, float(epoch)) for epoch in epochs})
    return pl.Series("h_score", succeeded[:, ends].mean(axis=1), dtype=pl.Float64)
