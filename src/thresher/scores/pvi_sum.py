"""Pointwise V-information of a whole completion."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.scores.pvi import losses_of_completions
from thresher.scores.read import array
from thresher.scores.registry import score


@score(
    "pvi_sum",
    needs=("loss_prompted", "loss_alone", "n_completion"),
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

    Raises MissingSignal: no language model, or the completions were not measured without their prompts.

    >>> signals = pl.DataFrame({"loss_prompted": [1.0], "loss_alone": [2.0], "n_completion": [3]})
    >>> pvi_sum(signals, pl.DataFrame()).round(3).to_list()
    [4.328]
    """
    given, alone = losses_of_completions(signals)
    return pl.Series("pvi_sum", (alone - given) / np.log(2.0) * array(signals, "n_completion"))
