"""Area under the margin."""

from __future__ import annotations

import polars as pl

from thresher.scores.probability import by_checkpoint, margin
from thresher.scores.read import array, labels, without_logits
from thresher.scores.registry import score


@score(
    "aum",
    needs=("logits",),
    hard="low",
    runs="all",
    cost="all checkpoints of one training run; steadier averaged over runs",
    source="Pleiss, Zhang, Elenberg and Weinberger, NeurIPS 2020 (arXiv 2001.10528), section 3",
)
def aum(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Area under the margin: how far the label's logit stays above the largest other one while the model trains.

        AUM = 1/C sum over checkpoints c of  ( z_c[y] - max over k != y of z_c[k] )        logits; shape (N,)

    Low is hard. Negative means that another class led for most of the training: such rows are often mislabelled.
    Averaged over the runs by `score_table`. Of a row whose target is a text each margin is the mean over its completion tokens.

    Where we differ: the paper averages over epochs; this takes the checkpoints that were kept, which are evenly
    spaced over the run.

    Raises MissingSignal: the signals lack `logits`, or there is only one class.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> logits = [[[0.0, 1.0], [4.0, 1.0]], [[0.0, 1.0], [4.0, 1.0]]]
    >>> signals = pl.DataFrame({"label": [0, 1], "logits": logits}, schema_overrides=kind)
    >>> aum(signals, pl.DataFrame()).to_list()
    [1.0, -1.0]
    """
    of_tokens = without_logits(signals, "margin")
    if of_tokens is not None:
        return pl.Series("aum", of_tokens.mean(axis=1))
    label = labels(signals)
    values = by_checkpoint(lambda at: margin(at, label), array(signals, "logits"))  # (N, C, K) to (N, C)
    return pl.Series("aum", values.mean(axis=1), dtype=pl.Float64)
