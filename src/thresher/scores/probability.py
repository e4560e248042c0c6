"""What the model said of a row's label at every checkpoint: the base of the scores that watch the whole training."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy.special import log_softmax

from thresher.scores.read import MissingSignal, array, labels, without_logits

Numbers = npt.NDArray[np.float64]


def label_log_probability(signals: pl.DataFrame) -> Numbers:
    """log softmax(logits_c)_y of every row and checkpoint, nats; shape (N, C).

    Raises
    ------
    MissingSignal
        the signals lack `logits`.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> signals = pl.DataFrame({"label": [0], "logits": [[[0.0, 0.0], [99.0, 0.0]]]}, schema_overrides=kind)
    >>> label_log_probability(signals).round(4).tolist()
    [[-0.6931, 0.0]]
    """
    of_tokens = without_logits(signals, "loss")
    if of_tokens is not None:
        return -of_tokens
    label = labels(signals)

    def of_checkpoint(logits: npt.NDArray[Any]) -> Numbers:
        nats: Numbers = log_softmax(logits.astype(np.float64), axis=1)  # (N, K)
        return nats[np.arange(len(nats)), label]

    return by_checkpoint(of_checkpoint, array(signals, "logits"))


def right(signals: pl.DataFrame) -> npt.NDArray[np.bool_]:
    """Whether the label has the largest logit, of every row and checkpoint; shape (N, C). A tie goes to the first class.

    Raises
    ------
    MissingSignal
        the signals lack `logits`.

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


def margin(logits: npt.NDArray[Any], label: npt.NDArray[np.int64]) -> Numbers:
    """z[y] - max over k != y of z[k], of logits (N, K) and labels (N,); shape (N,).

    Raises
    ------
    MissingSignal
        there is only one class.

    >>> margin(np.array([[4.0, 1.0, 3.0]]), np.array([2])).tolist()
    [-1.0]
    """
    if logits.shape[1] < 2:
        raise MissingSignal("a margin needs two classes")
    values, rows = logits.astype(np.float64), np.arange(len(label))
    own = values[rows, label].copy()
    values[rows, label] = -np.inf
    return own - values.max(axis=1)


def by_checkpoint(function: Any, logits: npt.NDArray[Any]) -> Numbers:
    """A function of the logits at one checkpoint, (N, K) to (N,), at each of them; (N, C, K) to (N, C).

    One checkpoint at a time, so that float64 copies of all logits are never held together.
    """
    columns = [function(logits[:, c]) for c in range(logits.shape[1])]
    return np.ascontiguousarray(np.stack(columns, axis=1))
