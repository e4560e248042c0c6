"""Pointwise V-information of a whole completion."""

from __future__ import annotations

import polars as pl

from thresher.scores.probability import label_log_probability
from thresher.scores.pvi import bits_per_token
from thresher.scores.read import array
from thresher.scores.registry import score


@score(
    "pvi_sum",
    needs=("logits", "loss_alone", "n_completion"),
    hard="low",
    runs="all",
    cost="one pass over the completions without their prompts",
    source="Ethayarajh, Choi and Swayamdipta, ICML 2022, of a text",
)
def pvi_sum(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Pointwise V-information of the whole completion: the sum over its tokens, where `pvi` is their mean.

        PVI = log2 p(y | x) - log2 p(y | empty prompt)       bits; shape (N,)

    by the model at the last checkpoint. Low is hard; below 0 the prompt makes the completion less likely. It grows with the
    length of the completion. Only of rows whose target is a text.

    Raises
    ------
    MissingSignal
        `loss_alone` was not measured: no language model, or no pass without prompts.

    >>> kinds = {"loss": pl.Array(pl.Float32, 1), "loss_alone": pl.Float32, "n_completion": pl.Int32}
    >>> signals = pl.DataFrame({"loss": [[1.0]], "loss_alone": [2.0], "n_completion": [3]}, schema=kinds)
    >>> pvi_sum(signals, pl.DataFrame()).round(3).to_list()
    [4.328]
    """
    bits = bits_per_token(signals, -label_log_probability(signals)[:, -1])
    return pl.Series("pvi_sum", bits * array(signals, "n_completion"))
