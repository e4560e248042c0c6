"""Error l2 norm."""

from __future__ import annotations

import polars as pl

from thresher.logits import error_norm
from thresher.scores.read import array, checkpoint_at, labels, without_logits
from thresher.scores.registry import score


@score(
    "el2n",
    needs=("logits",),
    hard="high",
    runs="all",
    cost="one early checkpoint per run; steadier averaged over runs (the paper: 10)",
    source="Paul, Ganguli and Dziugaite, NeurIPS 2021; Anand et al., EMNLP 2023, sections 2.1 and B.1",
)
def el2n(
    signals: pl.DataFrame, checkpoints: pl.DataFrame, *, checkpoint: int | None = None, epoch: float = 2.0
) -> pl.Series:
    """Error l2 norm: how far the predicted probabilities are from the label, early in training.

        EL2N = || softmax(logits_c) - onehot(y) ||_2        between 0 and sqrt(2), no unit; shape (N,)

    at the checkpoint nearest to `epoch`, or the checkpoint of index `checkpoint` (-1: the last). Averaged
    over the runs by `score_table`.

    Where the paper is ambiguous: "after epoch 2" is the checkpoint nearest to the end of the second epoch.
    Computed late (the paper: epoch 7) it fails: the model has memorised the rows.

    Of a row whose target is a text it is the mean over its completion tokens, each a choice among the vocabulary.

    Raises UserError: no checkpoint of that index.

    >>> signals = pl.DataFrame(
    ...     {"label": [0, 1], "logits": [[[0.0, 0.0]], [[99.0, 0.0]]]},
    ...     schema_overrides={"logits": pl.Array(pl.Float32, (1, 2))},
    ... )
    >>> el2n(signals, pl.DataFrame({"index": [0], "epoch": [2.0]})).round(4).to_list()
    [0.7071, 1.4142]
    """
    of_tokens = without_logits(signals, "error_norm")  # (N, C)
    if of_tokens is not None:
        return pl.Series("el2n", of_tokens[:, checkpoint_at(checkpoints, checkpoint, epoch)])
    logits = array(signals, "logits")  # (N, C, K)
    at = checkpoint_at(checkpoints, checkpoint, epoch)
    return pl.Series("el2n", error_norm(logits[:, at], labels(signals)), dtype=pl.Float64)
