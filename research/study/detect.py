"""Measure how well scores find labels that are known to be wrong, in comparison with confident learning."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError

Numbers = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
SCHEMA = {
    "score": pl.String,
    "end": pl.String,
    "precision": pl.Float64,
    "average_precision": pl.Float64,
    "wrong": pl.Int64,
    "chance": pl.Float64,
}


def detection_table(table: pl.DataFrame, wrong: Mask) -> pl.DataFrame:
    """How well every score column, from either end, ranks the rows with a wrong label.

    Parameters
    ----------
    table
        a score table: every numeric column except `id` and `label` is a score.
    wrong
        which rows have a wrong label, (N,).

    Returns
    -------
    `score` (the column), `end` ("high": large values first, or "low"), `precision` (among as many rows as are wrong, where
    it equals the recall), `average_precision`, `wrong` (their number), `chance` (their share: the expected precision of a
    random order). The expected average precision of a random order is close to `chance` if many rows are wrong, and larger
    if few are: 0.07 if 3 of 100 are. Sorted by average precision.

    Raises UserError: no row is wrong, or every row is.

    >>> table = pl.DataFrame({"id": ["a", "b", "c", "d"], "label": [0, 0, 1, 1], "aum": [5.0, -2.0, 4.0, 3.0]})
    >>> found = detection_table(table, np.array([False, True, False, False]))
    >>> found.select("score", "end", "precision", "average_precision").rows()
    [('aum', 'low', 1.0, 1.0), ('aum', 'high', 0.0, 0.25)]
    """
    count = int(wrong.sum())
    if not 0 < count < len(wrong):
        raise UserError(
            f"{count} of {len(wrong)} rows have a wrong label; both correct and wrong labels are needed"
        )
    names = [name for name in table.columns if name not in ("id", "label") and table[name].dtype.is_numeric()]
    found = []
    for name in names:
        values = table[name].cast(pl.Float64).to_numpy()
        for end, suspicion in (("high", values), ("low", -values)):
            facts = precision_at(suspicion, wrong, count), average_precision(suspicion, wrong)
            found.append((name, end, *facts, count, count / len(wrong)))
    listed = pl.DataFrame(found, schema=SCHEMA, orient="row")
    return listed.sort("average_precision", "score", "end", descending=[True, False, False])


def precision_at(suspicion: Numbers, wrong: Mask, count: int) -> float:
    """Share of wrong rows among the `count` most suspicious ones, 0 to 1.

    Ties at the boundary count as a random choice among them does on average. `suspicion` (N,), large is suspicious; `wrong`
    (N,).

    >>> precision_at(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False]), 2)
    0.75
    """
    edge = -np.partition(-suspicion, count - 1)[count - 1]
    above, at = suspicion > edge, suspicion == edge
    share = (count - above.sum()) / at.sum()
    return float((wrong[above].sum() + share * wrong[at].sum()) / count)


def average_precision(suspicion: Numbers, wrong: Mask) -> float:
    """Area under precision against recall, as a step function: sum over thresholds of (R_n - R_(n-1)) P_n; 0 to 1.

    Rows of equal suspicion pass the threshold together. If all are equal, the result is the share of wrong rows.

    >>> average_precision(np.array([3.0, 2.0, 1.0]), np.array([True, False, True])).__round__(4)
    0.8333
    """
    order = np.argsort(-suspicion, kind="stable")
    hits, ordered = np.cumsum(wrong[order]), suspicion[order]
    last = np.flatnonzero(np.r_[ordered[1:] != ordered[:-1], True])
    recall_steps = np.diff(np.r_[0, hits[last]]) / hits[-1]
    return float((recall_steps * hits[last] / (last + 1)).sum())


class Confident(NamedTuple):
    """Which rows confident learning flags, (N,), and the suspicion of every row, (N,)."""

    flagged: Mask
    suspicion: Numbers


def confident_learning(label: npt.NDArray[np.int64], probabilities: Numbers) -> Confident:
    """Find label errors by confident learning.

        t_k      = mean of p_i[k] over the rows labelled k
        flagged  = the class with the largest p_i[k] among the classes with p_i[k] >= t_k is not the label
        suspicion = 1 - p_i[label]

    `label` (N,); `probabilities` (N, K), which should be out of sample, because a model fits the labels it has seen. A class
    without rows has no threshold and is never chosen.

    Source: Northcutt, Jiang and Chuang, JAIR 2021 (arXiv 1911.00068), section 3; the order is cleanlab's `self_confidence`.

    Raises ValueError: the shapes do not match.

    >>> p = np.array([[0.9, 0.1], [0.8, 0.2], [0.2, 0.8], [0.9, 0.1]])
    >>> confident_learning(np.array([0, 0, 1, 1]), p).flagged.tolist()
    [False, False, False, True]
    """
    if probabilities.shape[:1] != label.shape or probabilities.ndim != 2:
        raise ValueError(f"probabilities of shape {probabilities.shape} for {len(label)} labels")
    rows, classes = probabilities.shape
    count = np.bincount(label, minlength=classes)
    own = probabilities[np.arange(rows), label]
    total = np.bincount(label, weights=own, minlength=classes)
    threshold = np.where(count > 0, total / np.maximum(count, 1), np.inf)  # (K,)
    confident = np.where(probabilities >= threshold - 1e-12, probabilities, -np.inf)  # (N, K)
    other = confident.argmax(axis=1)
    flagged = (other != label) & np.isfinite(confident.max(axis=1))
    return Confident(flagged, 1.0 - own)
