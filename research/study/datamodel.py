"""Linear datamodelling score: how well the sum of a subset's scores predicts the result of training on the subset."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

Numbers = npt.NDArray[np.float64]


class Lds(NamedTuple):
    """A rank correlation, -1 to 1, and its bootstrap interval."""

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
    """The Spearman correlation, over subsets, of the sum of the scores of their rows with the measured outcome.

        LDS = Spearman over s of ( sum over rows i in subset s of score_i,  outcome_s )

    Parameters
    ----------
    subsets
        which rows are in each subset, (S, N). Subsets should be of equal size, otherwise their size affects the sum.
    scores
        one score per row, (N,), with a sign such that large scores are expected to help.
    outcomes
        the result of training on each subset, such as test accuracy, (S,).
    confidence, bootstrap, seed
        the percentile interval over `bootstrap` draws of S subsets with replacement.

    Returns
    -------
    The correlation and its interval; NaN if all sums or all outcomes are equal. Such draws are left out of the interval.

    Raises ValueError: the shapes do not match, or there are fewer than three subsets.

    Difference from the source: there a row has a score per test row, and the correlations are averaged over test rows. Here
    a row has one score and the outcome is that on all test rows, because this is what matters for pruning.

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
    """The sum of the scores of every subset; (S, N) and (N,) to (S,).

    >>> subset_sums(np.array([[True, False], [True, True]]), np.array([1.0, 2.0])).tolist()
    [1.0, 3.0]
    """
    sums: Numbers = np.where(subsets, scores, 0.0).sum(axis=1)
    return sums


def spearman(a: Numbers, b: Numbers) -> Numbers:
    """The rank correlation of each row of `a` with the same row of `b`, with mean ranks for ties; (B, S) twice to (B,).

    NaN if all values of a row are equal.

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
