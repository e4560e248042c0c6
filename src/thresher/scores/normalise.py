"""Scores relative to their class or to the whole set."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

FLOOR = 1e-12


def class_norm(values: npt.NDArray[np.float64], labels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """z = (v - mean of the class) / std of the class, (N,) and (N,) to (N,); no unit.

    The standard deviation is the population's (ddof 0). A class of one row, or of equal scores, has no
    spread: its rows get z = 0, the middle of their class. Equal means up to rounding: a standard deviation
    under 1e-12 of the class's largest absolute score. The sums are taken in the order of the scores, so the
    order of the rows changes no bit. Source: Anand et al., EMNLP 2023, section 2.2.

    >>> class_norm(np.array([1.0, 3.0, 7.0]), np.array([0, 0, 1]))
    array([-1.,  1.,  0.])
    """
    if not len(values):
        return np.zeros(0)
    order = np.lexsort((values, labels))
    ordered = values[order]
    start = np.flatnonzero(np.r_[True, labels[order][1:] != labels[order][:-1]])
    count = np.diff(np.r_[start, len(values)])
    # Scaled to a largest absolute score of 1, no square can overflow or vanish.
    scale = np.maximum(np.abs(ordered[start]), np.abs(ordered[start + count - 1]))
    ordered = ordered / np.repeat(np.where(scale > 0, scale, 1.0), count)
    centred = ordered - np.repeat(np.add.reduceat(ordered, start) / count, count)
    std = np.sqrt(np.add.reduceat(centred**2, start) / count)
    z = np.empty(len(values))
    z[order] = np.where(
        np.repeat(std > FLOOR, count), centred / np.repeat(np.maximum(std, FLOOR), count), 0.0
    )
    return z


def class_rank(values: npt.NDArray[np.float64], labels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """The row's place within its class, (rank - 1/2) / rows of the class, between 0 and 1; (N,) and (N,) to (N,).

    Equal scores share their mean rank. A cut-off by it takes the same share of every class, as `--stratify` by the label
    does. It suits scores with a heavy tail, whose standard deviation describes the tail more than the other rows.

    >>> class_rank(np.array([1.0, 900.0, 2.0, 7.0]), np.array([0, 0, 0, 1])).round(3).tolist()
    [0.167, 0.833, 0.5, 0.5]
    """
    place = (pl.col("value").rank() - 0.5) / pl.len()
    ranks: npt.NDArray[np.float64] = (
        pl.DataFrame({"value": values, "label": labels}).select(place.over("label")).to_series().to_numpy()
    )
    return ranks


def dataset_norm(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """z = (v - mean) / std over all rows, (N,) to (N,); no unit. Equal scores get z = 0, as in `class_norm`.

    Right for skewed classes, where each class keeps its own level; `class_norm` is right for balanced ones.
    Source: Anand et al., EMNLP 2023, sections 2.2 and 3.

    >>> dataset_norm(np.array([1.0, 3.0]))
    array([-1.,  1.])
    """
    return class_norm(values, np.zeros(len(values), dtype=np.int64))
