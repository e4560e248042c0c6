"""Loss of the end of a completion."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.scores.read import array
from thresher.scores.registry import score


@score(
    "end_loss",
    needs=("end_loss",),
    hard="high",
    runs="all",
    cost="nothing beyond the pass over the completions",
    source="ours: the last term of `loss`",
)
def end_loss(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """End loss: the cross-entropy of the last token of a completion, the end token unless the completion was cut.

        end loss = -log p(end | prompt, y_1 ... y_T)        nats; shape (N,)

    at the last checkpoint. High is hard: the model expected the completion to go on, as it does where the end is missing. In the
    mean over the tokens it counts as one of many.

    Raises MissingSignal: no language model, or a recorded training, whose losses are means over the tokens.

    >>> end_loss(pl.DataFrame({"end_loss": [0.25]}), pl.DataFrame()).to_list()
    [0.25]
    """
    return pl.Series("end_loss", array(signals, "end_loss").astype(np.float64))
