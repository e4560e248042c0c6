"""Gradient norm."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from thresher.scores.read import array, checkpoint_at, gradient_layer
from thresher.scores.registry import score


@score(
    "grand",
    needs=("encoder_sq_norm",),
    hard="high",
    runs="all",
    cost="one early checkpoint of a run whose gradients were measured (the first; the paper averages 10 runs)",
    source="Paul, Ganguli and Dziugaite, NeurIPS 2021 (arXiv 2107.07075), section 2.2; for BERT: arXiv 2211.05610",
)
def grand(
    signals: pl.DataFrame,
    checkpoints: pl.DataFrame,
    *,
    layer: Literal["auto", "encoder", "classifier", "adapter"] = "auto",
    tokens: Literal["mean", "sum"] = "mean",
    checkpoint: int | None = None,
    epoch: float = 1.0,
) -> pl.Series:
    """Gradient norm: how strongly the row changes the weights early in training.

        GraNd = || d loss(x, y) / d w at c ||_2        nats per unit of weight; shape (N,)

    at the checkpoint nearest to `epoch`, or of index `checkpoint` (-1: the last), with w all parameters of one
    layer: the last encoder layer (`layer="encoder"`), the last linear layer of the head (`layer="classifier"`), or all
    matrices of LoRA (`layer="adapter"`). "auto" is the adapters where they were measured, else the encoder layer, or the
    classifier layer where the encoder is frozen. High is hard.

    Of a row whose target is a text the loss is the mean over its completion tokens; with `tokens="sum"` their sum, whose
    gradient is n times as long. The mean favours short completions, since gradients of tokens cancel in part; the sum long ones.

    Where the paper is ambiguous: it takes all weights of the network at initialisation, averaged over 10
    initialisations. A pretrained encoder says little about a row before the head has learned anything, so the
    default is the end of the first epoch, and one layer stands for the network, as in TracIn.

    Raises MissingSignal: the signals lack the squared norms of the layer, or `n_completion` for a sum over tokens.
    Raises UserError: no checkpoint of that index.

    >>> kind = {"encoder_sq_norm": pl.Array(pl.Float64, 2)}
    >>> signals = pl.DataFrame({"encoder_sq_norm": [[9.0, 1.0]]}, schema=kind)
    >>> grand(signals, pl.DataFrame({"index": [0, 1], "epoch": [1.0, 2.0], "encoder_lr": [0.1, 0.0]})).to_list()
    [3.0]
    """
    squared = array(signals, f"{gradient_layer(layer, checkpoints, signals)}_sq_norm")  # (N, C)
    at = checkpoint_at(checkpoints, checkpoint, epoch)
    norm = np.sqrt(squared[:, at].astype(np.float64))
    return pl.Series("grand", norm * array(signals, "n_completion") if tokens == "sum" else norm)
