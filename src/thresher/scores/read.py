"""Read the signals table: columns as arrays, checkpoints by epoch."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError

# A column that blocks of rows have beside the signals: the share of the rows, in the whole table, that have the row's label.
LABEL_SHARE = "label_share"


class MissingSignal(Exception):
    """A score cannot be computed from this signals table; the message says what is missing."""


def array(signals: pl.DataFrame, column: str) -> npt.NDArray[Any]:
    """A column as an array; nested `pl.Array` columns keep all their axes. No copy is made if the frame is one chunk.

    Raises MissingSignal: no such column, or rows without a value in it.

    >>> frame = pl.DataFrame({"logits": [[[1.0, 2.0]]]}, schema={"logits": pl.Array(pl.Float32, (1, 2))})
    >>> array(frame, "logits").shape
    (1, 1, 2)
    """
    if column not in signals.columns:
        raise MissingSignal(f"'{column}' was not measured")
    if signals[column].null_count():
        raise MissingSignal(f"'{column}' was not measured for every row")
    return signals[column].rechunk().to_numpy()


def without_logits(signals: pl.DataFrame, column: str) -> npt.NDArray[np.float64] | None:
    """A signal with one number per row and checkpoint, (N, C), for signals without logits; None for signals with logits.

    A recorded token classifier gives means over the tokens of a row: `loss`, `margin`, `error_norm` and `right`; so does a
    recorded language model over the completion tokens.

    >>> kind = {"loss": pl.Array(pl.Float32, 2)}
    >>> without_logits(pl.DataFrame({"loss": [[1.0, 0.5]]}, schema=kind), "loss").tolist()
    [[1.0, 0.5]]
    """
    if "logits" in signals.columns or column not in signals.columns:
        return None
    return array(signals, column).astype(np.float64)


def labels(signals: pl.DataFrame) -> npt.NDArray[np.int64]:
    """The true class indices, (N,).

    >>> labels(pl.DataFrame({"label": [1, 0]}))
    array([1, 0])
    """
    return array(signals, "label").astype(np.int64)


def by_index(checkpoints: pl.DataFrame, column: str) -> npt.NDArray[Any]:
    """A column of the checkpoints table in the order in which the signals hold the checkpoints, (C,).

    Raises MissingSignal: no checkpoints, or no such column.

    >>> by_index(pl.DataFrame({"index": [1, 0], "epoch": [2.0, 1.0]}), "epoch")
    array([1., 2.])
    """
    if checkpoints.is_empty() or "index" not in checkpoints.columns:
        raise MissingSignal("there are no checkpoints")
    return array(checkpoints.sort("index"), column)


def checkpoint_at(checkpoints: pl.DataFrame, checkpoint: int | None, epoch: float) -> int:
    """The checkpoint to read: the one with that index (negative: from the end), or the one nearest to `epoch`.

    Of two equally near ones the earlier is taken. If the training ended before `epoch`, it is the last one.

    Raises UserError: no checkpoint of that index.

    >>> trained = pl.DataFrame({"index": [0, 1, 2], "epoch": [1.0, 2.0, 3.0]})
    >>> checkpoint_at(trained, None, 2.2), checkpoint_at(trained, -1, 2.2)
    (1, 2)
    """
    if checkpoint is None:
        return int(np.abs(by_index(checkpoints, "epoch") - epoch).argmin())
    count = checkpoints.height
    if not -count <= checkpoint < count:
        raise UserError(f"no checkpoint {checkpoint}; the run has 0 to {count - 1}")
    return checkpoint % count


def gradient_layer(
    layer: Literal["auto", "encoder", "classifier", "adapter"],
    checkpoints: pl.DataFrame,
    signals: pl.DataFrame,
) -> Literal["encoder", "classifier", "adapter"]:
    """The layer whose gradients a score reads: `auto` is the adapters where their gradients were measured, else the last
    encoder layer, or the last linear layer of the head if the encoder is frozen (its learning rate is zero at every checkpoint).

    Raises MissingSignal: there are no checkpoints, or no learning rates.

    >>> frozen = pl.DataFrame({"index": [0, 1], "encoder_lr": [0.0, 0.0]})
    >>> none, lora = pl.DataFrame(), pl.DataFrame({"adapter_sq_norm": [1.0]})
    >>> [gradient_layer(*given) for given in (("auto", frozen, none), ("encoder", frozen, none), ("auto", frozen, lora))]
    ['classifier', 'encoder', 'adapter']
    """
    if layer != "auto":
        return layer
    if "adapter_sq_norm" in signals.columns:
        return "adapter"
    return "encoder" if by_index(checkpoints, "encoder_lr").any() else "classifier"
