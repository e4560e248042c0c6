"""Scores relative to their class or to the whole set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

FLOOR = 1e-12
Numbers = npt.NDArray[np.float64]


class Spread(NamedTuple):
    """What a z-score is made of, of each of K groups, (K,): the largest absolute score, and mean and standard deviation of the
    scores divided by it."""

    scale: Numbers
    mean: Numbers
    std: Numbers

    def standardised(self, values: Numbers, codes: npt.NDArray[np.generic] | int) -> Numbers:
        """z of scores (n,) of the groups `codes` (n,), or all of one group."""
        z = values / self.scale[codes]
        z -= self.mean[codes]
        z /= np.maximum(self.std, FLOOR)[codes]
        return np.where(self.std[codes] > FLOOR, z, 0.0)


@dataclass(frozen=True)
class Groups:
    """The rows of each of K groups: `order` (N,) holds the rows group by group, `count` (K,) their number in each."""

    order: npt.NDArray[np.int64]
    count: npt.NDArray[np.int64]

    @classmethod
    def of(cls, codes: npt.NDArray[Any]) -> Groups:
        """The groups of rows with these numbers, 0 to K - 1; (N,)."""
        return cls(np.argsort(codes, kind="stable"), np.bincount(codes))

    def spread(self, values: Numbers) -> Spread:
        """The spread of scores (N,) within each group. Sums are taken in the order of the scores."""
        ordered = values[self.order]
        start = 0
        for count in self.count.tolist():
            ordered[start : start + count].sort()
            start += count
        return _spread(ordered, self.count)


def whole_spread(values: Numbers) -> Spread:
    """The spread of scores (N,) over all rows, as that of one group."""
    return _spread(np.sort(values), np.array([len(values)]))


def _spread(ordered: Numbers, count: npt.NDArray[np.int64]) -> Spread:
    """The spread of groups of `count` (K,) sorted scores, one after another in `ordered` (N,), which is overwritten."""
    full = np.flatnonzero(count)
    found = Spread(np.ones(len(count)), np.zeros(len(count)), np.zeros(len(count)))
    if not len(full):
        return found
    count = count[full]
    start = np.cumsum(count) - count
    # Scaled to a largest absolute score of 1, no square can overflow or vanish.
    largest = np.maximum(np.abs(ordered[start]), np.abs(ordered[start + count - 1]))
    found.scale[full] = np.where(largest > 0, largest, 1.0)
    ordered /= np.repeat(found.scale[full], count)
    found.mean[full] = np.add.reduceat(ordered, start) / count
    ordered -= np.repeat(found.mean[full], count)
    np.square(ordered, out=ordered)
    found.std[full] = np.sqrt(np.add.reduceat(ordered, start) / count)
    return found


def class_norm(values: Numbers, labels: npt.NDArray[np.generic]) -> Numbers:
    """z = (v - mean of the class) / std of the class, (N,) and (N,) to (N,); no unit.

    The standard deviation is the population's (ddof 0). A class of one row, or of equal scores, has no
    spread: its rows get z = 0, the middle of their class. Equal means up to rounding: a standard deviation
    under 1e-12 of the class's largest absolute score. The sums are taken in the order of the scores, so the
    order of the rows changes no bit. Source: Anand et al., EMNLP 2023, section 2.2.

    >>> class_norm(np.array([1.0, 3.0, 7.0]), np.array([0, 0, 1]))
    array([-1.,  1.,  0.])
    """
    codes = np.unique(labels, return_inverse=True)[1]
    return Groups.of(codes).spread(values).standardised(values, codes)


def class_rank(values: Numbers, labels: npt.NDArray[np.generic]) -> Numbers:
    """The row's place within its class, (rank - 1/2) / rows of the class, between 0 and 1; (N,) and (N,) to (N,).

    Equal scores share their mean rank. A cut-off by it takes the same share of every class, as `--stratify` by the label
    does. It suits scores with a heavy tail, whose standard deviation describes the tail more than the other rows.

    >>> class_rank(np.array([1.0, 900.0, 2.0, 7.0]), np.array([0, 0, 0, 1])).round(3).tolist()
    [0.167, 0.833, 0.5, 0.5]
    """
    place = (pl.col("value").rank() - 0.5) / pl.len()
    ranks: Numbers = (
        pl.DataFrame({"value": values, "label": labels}).select(place.over("label")).to_series().to_numpy()
    )
    return ranks


def dataset_norm(values: Numbers) -> Numbers:
    """z = (v - mean) / std over all rows, (N,) to (N,); no unit. Equal scores get z = 0, as in `class_norm`.

    Right for skewed classes, where each class keeps its own level; `class_norm` is right for balanced ones.
    Source: Anand et al., EMNLP 2023, sections 2.2 and 3.

    >>> dataset_norm(np.array([1.0, 3.0]))
    array([-1.,  1.])
    """
    return whole_spread(values).standardised(values, 0)
