"""Linear datamodelling score of a group: does the sum of a subset's scores predict what training on it gives?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Numbers = npt.NDArray[np.float64]


class Lds(NamedTuple):
    """Rank correlation, -1 to 1, and its bootstrap interval."""

    correlation: float
    low: float
    high: float


def linear_datamodelling_score(
    subsets: npt.NDArray[np.bool_],
    scores: Numbers,
    outcomes: Numbers,
    *,
    confidence: float = 0.95,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Lds:
    """Spearman correlation, over subsets, of the sum of their rows' scores with what was measured on them.

        LDS = Spearman over s of ( sum over rows i in subset s of score_i,  outcome_s )

    Parameters
    ----------
    subsets
        which rows each subset holds, (S, N). Of equal size, else the sum counts rows as much as it scores them.
    scores
        one score per row, (N,), turned so that large is expected to help.
    outcomes
        what training on each subset gave, such as test accuracy, (S,).
    confidence, bootstrap, seed
        the interval is that of the percentiles over `bootstrap` draws of S subsets with replacement.

    Returns
    -------
    The correlation and its interval; NaN where all sums or all outcomes are equal. Draws without spread are left out.

    Raises
    ------
    ValueError
        shapes that do not fit, or fewer than three subsets.

    Where we differ: in its source the score is that of a row for one test row, and the correlations over test rows are
    averaged. Here rows have one score and the outcome is over all test rows, which is what a user who prunes asks.

    Source: Ilyas et al., ICML 2022 (arXiv 2202.00622); Park et al., ICML 2023 (arXiv 2303.14186), definition 2.3.

    >>> subsets = np.array([[True, True, False, False], [True, False, True, False], [False, False, True, True]])
    >>> linear_datamodelling_score(subsets, np.array([4.0, 3.0, 2.0, 1.0]), np.array([0.9, 0.8, 0.7]), bootstrap=0)
    Lds(correlation=1.0, low=nan, high=nan)
    """
    count = len(subsets)
    if subsets.ndim != 2 or scores.shape != subsets.shape[1:] or outcomes.shape != (count,) or count < 3:
        raise ValueError(
            f"subsets {subsets.shape}, scores {scores.shape}, outcomes {outcomes.shape}:"
            " they must be (S, N), (N,) and (S,) with at least three subsets"
        )
    sums = subset_sums(subsets, scores)
    draws = np.random.default_rng(seed).integers(0, count, (bootstrap, count))  # (B, S)
    drawn = spearman(sums[draws], outcomes[draws]) if bootstrap else np.zeros(0)
    drawn = drawn[np.isfinite(drawn)]
    tails = [50 * (1 - confidence), 50 * (1 + confidence)]
    low, high = np.percentile(drawn, tails) if len(drawn) else (np.nan, np.nan)
    return Lds(float(spearman(sums[None], outcomes[None])[0]), float(low), float(high))


def subset_sums(subsets: npt.NDArray[np.bool_], scores: Numbers) -> Numbers:
    """The sum of the scores in every subset; (S, N) and (N,) to (S,).

    >>> subset_sums(np.array([[True, False], [True, True]]), np.array([1.0, 2.0])).tolist()
    [1.0, 3.0]
    """
    sums: Numbers = np.where(subsets, scores, 0.0).sum(axis=1)
    return sums


def spearman(a: Numbers, b: Numbers) -> Numbers:
    """Rank correlation of each row of `a` with the same row of `b`, ties with their mean rank; (B, S) twice to (B,).

    NaN where all values of a row are equal.

    >>> spearman(np.array([[1.0, 2.0, 3.0]]), np.array([[9.0, 5.0, 1.0]])).tolist()
    [-1.0]
    """
    ranks = [rankdata(one, axis=1) for one in (a, b)]
    x, y = (one - one.mean(axis=1, keepdims=True) for one in ranks)  # (B, S)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Numbers = np.einsum("bs,bs->b", x, y) / np.sqrt(
            np.einsum("bs,bs->b", x, x) * np.einsum("bs,bs->b", y, y)
        )
    return found
