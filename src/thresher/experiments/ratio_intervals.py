"""Confidence intervals of a difference of ratios, such as loss per token, over training runs and test rows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thresher.experiments.intervals import Interval

Floats = NDArray[np.float64]


def ratio_interval(a: Floats, b: Floats, size: Floats, confidence: float = 0.95) -> Interval:
    """Confidence interval of the difference of two ratios sum(a) / sum(size) - sum(b) / sum(size), from S trainings of each.

        d_s    = sum_i (a_si - b_si) / sum_i size_i                      the difference of seed s
        mean   = 1/S sum_s d_s
        e_i    = (mean_s (a_si - b_si) - mean * size_i) / mean(size)     what row i adds, linearised
        V_seed = var_s(d_s) / S,   V_row = var_i(e_i) / n
        SE^2   = V_seed + V_row
        df     = SE^4 / (V_seed^2 / (S - 1) + V_row^2 / (n - 1))         Welch-Satterthwaite
        low, high = mean -+ t(df, (1 + confidence) / 2) * SE

    The same design as `intervals.paired_interval`: seeds and test rows are crossed, and both arms are paired by them. Where no
    row differs, V_row is that of a single row that differs by the largest size of all.

    `a, b`: sums of each row, (S, n): its loss in nats, or its right tokens. `size`: (n,), the same for both: its completion
    tokens, or ones.

    Source: Cochran (1977), Sampling Techniques, section 6.3 (ratio estimators); else as `paired_interval`.

    >>> a, size = np.array([[2.0, 4.0, 7.0], [2.5, 4.0, 6.5]]), np.array([2.0, 3.0, 5.0])
    >>> found = ratio_interval(a, a - 0.2 * size, size)
    >>> round(found["mean"], 3), found["rows"], found["seeds"]
    (0.2, 3, 2)
    """
    from scipy import stats

    difference = a - b  # (S, n)
    seeds, rows = difference.shape
    by_seed = difference.sum(1) / size.sum()
    mean = float(by_seed.mean())
    added = (difference.mean(0) - mean * size) / size.mean()
    of_seeds = float(by_seed.var(ddof=1) / seeds) if seeds > 1 else 0.0
    of_rows = float(added.var(ddof=1) / rows) if rows > 1 else 1.0
    if not difference.any():
        of_rows = float((size.max() / size.sum()) ** 2)
    total = of_seeds + of_rows
    weights = (of_seeds**2 / (seeds - 1) if seeds > 1 else 0.0) + of_rows**2 / max(1, rows - 1)
    df = total**2 / weights if weights else float(max(1, rows - 1))
    half = float(stats.t.isf((1 - confidence) / 2, df)) * total**0.5
    return Interval(
        mean=mean, low=mean - half, high=mean + half, se=total**0.5, df=df, seeds=seeds, rows=rows
    )
