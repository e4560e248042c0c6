"""The margin of models that have not seen the row."""

from __future__ import annotations

import polars as pl

from thresher.scores.probability import margin
from thresher.scores.read import MissingSignal, array, labels
from thresher.scores.registry import score


@score(
    "held_out_margin",
    needs=("held_out_logits",),
    hard="low",
    runs="all",
    cost="cross-validation: as many trainings more as there are folds; steadier averaged over runs",
    source="ours; the margin of Pleiss et al., NeurIPS 2020, section 3, out of sample as in Northcutt et al., JAIR 2021",
)
def held_out_margin(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """Held-out margin: how far the label's logit is above the largest other one for a model that was trained without the row.

        z[y] - max over k != y of z[k]        logits; shape (N,)

    with z the logits at the end of the training of K-fold cross-validation that left the row out (`train.folds`), with as many
    steps as a training on all rows. Low is hard. A model that has seen a wrong label or an unusual row memorises it; a model
    that has not shows what the other rows say about it. The only row of its class is among the hardest. Averaged over the
    runs, each with its own folds, by `score_table`.

    Raises MissingSignal: the signals lack `held_out_logits`, or there is only one class.

    >>> kind = {"held_out_logits": pl.Array(pl.Float32, 2)}
    >>> signals = pl.DataFrame({"label": [0, 1], "held_out_logits": [[4.0, 1.0], [4.0, 1.0]]}, schema_overrides=kind)
    >>> held_out_margin(signals, pl.DataFrame()).to_list()
    [3.0, -3.0]
    """
    if "held_out_logits" not in signals.columns:
        raise MissingSignal("no cross-validation was run; `--folds 5` runs it")
    values = margin(array(signals, "held_out_logits"), labels(signals))
    return pl.Series("held_out_margin", values, dtype=pl.Float64)
