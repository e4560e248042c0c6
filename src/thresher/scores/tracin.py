"""TracIn self-influence."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from thresher.scores.read import array, by_index, gradient_layer
from thresher.scores.registry import score

# Adapters are trained in place of the encoder.
RATES = {"encoder": "encoder_lr", "classifier": "head_lr", "adapter": "encoder_lr"}


@score(
    "tracin",
    needs=("encoder_sq_norm",),
    hard="high",
    runs=1,
    cost="one training run",
    source="Pruthi et al., NeurIPS 2020; Anand et al., EMNLP 2023, sections 2.1 and B.1",
)
def tracin(
    signals: pl.DataFrame,
    checkpoints: pl.DataFrame,
    *,
    layer: Literal["auto", "encoder", "classifier", "adapter"] = "auto",
    tokens: Literal["mean", "sum"] = "mean",
) -> pl.Series:
    """TracIn self-influence: how much a training step on the row would lower the row's own loss.

        TracIn(z, z) = sum over checkpoints c of  lr_c * || d loss(z) / d w at c ||^2        nats; shape (N,)

    with w all parameters of one layer and lr_c the learning rate of that layer at checkpoint c.

    Where the paper is ambiguous: `layer="encoder"` (the paper's choice, more stable) is the last encoder
    layer with all its parameters, `layer="classifier"` the last linear layer of the head, weight and bias,
    `layer="adapter"` all matrices of LoRA. "auto" is the adapters where they were measured, else the encoder layer, or the
    classifier layer where the encoder is frozen (its learning rate is zero at every checkpoint). The encoder and the head learn
    at different rates, so each layer takes its own; adapters take the encoder's.
    A schedule that ends at zero gives its last checkpoint no weight, as the formula says.

    Of a row whose target is a text the loss is the mean over its n completion tokens; with `tokens="sum"` their sum, whose
    self-influence is n^2 times that of the mean.

    Raises MissingSignal: the signals lack the squared norms of the layer, or `n_completion` for a sum over tokens.

    >>> kind = {"encoder_sq_norm": pl.Array(pl.Float64, 2)}
    >>> signals = pl.DataFrame({"encoder_sq_norm": [[4.0, 1.0]]}, schema=kind)
    >>> tracin(signals, pl.DataFrame({"index": [0, 1], "encoder_lr": [0.5, 0.25]})).to_list()
    [2.25]
    """
    at = gradient_layer(layer, checkpoints, signals)
    rates = by_index(checkpoints, RATES[at]).astype(np.float64)  # (C,)
    squared = array(signals, f"{at}_sq_norm").astype(np.float64, copy=False)  # (N, C)
    values = np.einsum("nc,c->n", squared, rates)
    return pl.Series(
        "tracin",
        values * array(signals, "n_completion").astype(np.float64) ** 2 if tokens == "sum" else values,
    )
