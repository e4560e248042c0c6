"""The interval of a difference of losses per token."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from thresher.experiments.ratio_intervals import ratio_interval


def test_by_the_definition() -> None:
    """Term by term, with loops."""
    random = np.random.default_rng(0)
    size = random.integers(1, 30, 40).astype(float)
    a, b = random.normal(2, 1, (3, 40)) * size, random.normal(2, 1, (3, 40)) * size
    by_seed = [(a[s].sum() - b[s].sum()) / size.sum() for s in range(3)]
    mean = float(np.mean(by_seed))
    added = []
    for i in range(40):
        difference = np.mean([a[s, i] - b[s, i] for s in range(3)])
        added.append((difference - mean * size[i]) / size.mean())
    of_seeds, of_rows = np.var(by_seed, ddof=1) / 3, np.var(added, ddof=1) / 40
    df = (of_seeds + of_rows) ** 2 / (of_seeds**2 / 2 + of_rows**2 / 39)
    half = stats.t.ppf(0.975, df) * (of_seeds + of_rows) ** 0.5
    found = ratio_interval(a, b, size)
    assert found["mean"] == pytest.approx(mean) and found["df"] == pytest.approx(df)
    assert (found["low"], found["high"]) == (pytest.approx(mean - half), pytest.approx(mean + half))


def test_it_covers_the_true_difference() -> None:
    """Seeds and rows both vary, long rows count for more; 95% intervals cover 93% at least."""
    random = np.random.default_rng(1)
    covered = 0
    for _ in range(400):
        size = random.integers(1, 40, 150).astype(float)
        of_row = random.normal(0, 0.3, 150)
        of_seed = random.normal(0, 0.02, (5, 1))
        a = (0.1 + of_seed + of_row + random.normal(0, 0.2, (5, 150))) * size
        found = ratio_interval(a, np.zeros_like(a), size)
        covered += found["low"] < 0.1 < found["high"]
    assert covered >= 0.93 * 400


def test_equal_arms_have_an_interval_of_some_width() -> None:
    """No row differs among these: that others would not either is not known."""
    a, size = np.ones((3, 50)), np.full(50, 4.0)
    found = ratio_interval(a, a, size)
    assert found["mean"] == 0 and found["low"] < 0 < found["high"]
