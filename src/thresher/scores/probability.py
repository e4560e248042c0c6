"""The model's probability of a row's label at every checkpoint: the basis of the scores over the whole training."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher import logits
from thresher.scores.read import MissingSignal, array, labels, without_logits

Numbers = npt.NDArray[np.float64]


def label_log_probability(signals: pl.DataFrame) -> Numbers:
    """log softmax(logits_c)_y of every row and checkpoint, nats; shape (N, C).

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> signals = pl.DataFrame({"label": [0], "logits": [[[0.0, 0.0], [99.0, 0.0]]]}, schema_overrides=kind)
    >>> label_log_probability(signals).round(4).tolist()
    [[-0.6931, 0.0]]
    """
    of_tokens = without_logits(signals, "loss")
    if of_tokens is not None:
        return -of_tokens
    label = labels(signals)
    return by_checkpoint(lambda at: logits.log_probability(at, label), array(signals, "logits"))


def right(signals: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether the label has the largest logit, of every row and checkpoint; shape (N, C). A tie goes to the first class.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> signals = pl.DataFrame({"label": [1], "logits": [[[0.0, 0.0], [0.0, 1.0]]]}, schema_overrides=kind)
    >>> right(signals).tolist()
    [[False, True]]
    """
    of_tokens = without_logits(signals, "right")
    if of_tokens is not None:
        return of_tokens > 0
    found: npt.NDArray[np.bool_] = array(signals, "logits").argmax(axis=2) == labels(signals)[:, None]
    return found


def margin(z: npt.NDArray[Any], label: npt.NDArray[np.int64]) -> Numbers:
    """z[y] - max over k != y of z[k], of logits z (N, K) and labels (N,); shape (N,).

    Raises MissingSignal: there is only one class.

    >>> margin(np.array([[4.0, 1.0, 3.0]]), np.array([2])).tolist()
    [-1.0]
    """
    if z.shape[1] < 2:
        raise MissingSignal("a margin needs two classes")
    return logits.margin(z, label)


def error_norms(signals: pl.DataFrame, upto: int | None = None) -> Numbers:
    """|| softmax(logits_c) - onehot(y) ||_2 of every row at the first `upto` checkpoints, all by default; shape (N, C).

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> signals = pl.DataFrame({"label": [0], "logits": [[[0.0, 0.0], [99.0, 0.0]]]}, schema_overrides=kind)
    >>> error_norms(signals).round(4).tolist()
    [[0.7071, 0.0]]
    """
    of_tokens = without_logits(signals, "error_norm")
    if of_tokens is not None:
        return of_tokens[:, :upto]
    label = labels(signals)
    return by_checkpoint(lambda at: logits.error_norm(at, label), array(signals, "logits")[:, :upto])


def by_checkpoint(
    function: Callable[[npt.NDArray[np.generic]], Numbers], z: npt.NDArray[np.generic]
) -> Numbers:
    """A function of the logits at one checkpoint, (N, K) to (N,), at each of them; (N, C, K) to (N, C).

    One checkpoint at a time, so that float64 copies of all logits are never held together.
    """
    return np.ascontiguousarray(np.stack([function(z[:, c]) for c in range(z.shape[1])], axis=1))
