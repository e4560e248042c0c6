"""Log-probability, margin and error of the true class from logits; classes are the last axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

Numbers = NDArray[np.float64]
Labels = NDArray[np.int64]


def log_probability(logits: NDArray[np.generic], label: Labels) -> Numbers:
    """log softmax(logits)[y] in nats; logits (..., K) and label (...) to (...).

    >>> log_probability(np.array([[0.0, 0.0]]), np.array([1])).round(4).tolist()
    [-0.6931]
    """
    return _at(log_softmax(logits.astype(np.float64), axis=-1), label)


def margin(logits: NDArray[Any], label: Labels) -> Numbers:
    """z[y] - max over k != y of z[k]; logits (..., K) with K >= 2 and label (...) to (...).

    >>> margin(np.array([[4.0, 1.0, 3.0]]), np.array([2])).tolist()
    [-1.0]
    """
    values = logits.astype(np.float64)
    own = _at(values, label)
    np.put_along_axis(values, label[..., None], -np.inf, axis=-1)
    return own - values.max(axis=-1)


def error_norm(logits: NDArray[np.generic], label: Labels) -> Numbers:
    """|| softmax(logits) - onehot(label) ||_2; logits (..., K) and label (...) to (...).

    >>> error_norm(np.array([[0.0, 0.0], [99.0, 0.0]]), np.array([0, 0])).round(4).tolist()
    [0.7071, 0.0]
    """
    error = softmax(logits.astype(np.float64), axis=-1)
    np.put_along_axis(error, label[..., None], _at(error, label)[..., None] - 1.0, axis=-1)
    return np.sqrt(np.einsum("...k,...k->...", error, error))


def _at(values: Numbers, label: Labels) -> Numbers:
    return np.take_along_axis(values, label[..., None], axis=-1)[..., 0]
