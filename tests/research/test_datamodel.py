"""The linear datamodelling score against plain ranks, and its interval against simulation."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from research.study.datamodel import linear_datamodelling_score, spearman


def plain_ranks(values: list[float]) -> list[float]:
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2
        for value in values
    ]


def plain_correlation(a: list[float], b: list[float]) -> float:
    x, y = plain_ranks(a), plain_ranks(b)
    try:
        return statistics.correlation(x, y)
    except statistics.StatisticsError:
        return math.nan


@given(
    st.lists(st.lists(st.booleans(), min_size=6, max_size=6), min_size=3, max_size=12),
    st.lists(st.integers(-3, 3).map(float), min_size=6, max_size=6),
    st.data(),
)
def test_it_is_the_rank_correlation_of_sums_and_outcomes(subsets, scores, data):
    outcome = st.sampled_from([0.5, 0.6, 0.7, 0.8])
    outcomes = data.draw(st.lists(outcome, min_size=len(subsets), max_size=len(subsets)))
    sums = [sum(s for s, inside in zip(scores, subset, strict=True) if inside) for subset in subsets]
    found = linear_datamodelling_score(
        np.array(subsets), np.array(scores), np.array(outcomes), bootstrap=0
    ).correlation
    expected = plain_correlation(sums, outcomes)
    assert found == pytest.approx(expected, nan_ok=True)


@given(st.integers(0, 1000))
def test_rank_correlation_is_that_of_scipy(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 5, (4, 9)).astype(float), rng.integers(0, 5, (4, 9)).astype(float)
    expected = [stats.spearmanr(x, y).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected)


def simulated(seed: int, strength: float, subsets: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    inside = np.zeros((subsets, 100), dtype=bool)
    for subset in inside:
        subset[rng.choice(100, 50, replace=False)] = True
    scores = rng.normal(size=100)
    outcomes = strength * (inside @ scores) / np.sqrt(25) + rng.normal(size=subsets)
    return inside, scores, outcomes


def test_predictive_and_useless_scores_are_distinguished():
    inside, scores, outcomes = simulated(0, strength=1.0)
    found = linear_datamodelling_score(inside, scores, outcomes)
    assert 0.4 < found.low < found.correlation < found.high < 0.9
    against = linear_datamodelling_score(inside, -scores, outcomes)
    assert against.correlation == pytest.approx(-found.correlation)
    # A score that has nothing of the first in it.
    other = np.random.default_rng(9).normal(size=100)
    centred = scores - scores.mean()
    other -= centred * (other @ centred) / (centred @ centred)
    other = linear_datamodelling_score(inside, other, outcomes)
    assert other.low < 0 < other.high


def test_the_interval_has_about_its_nominal_coverage():
    truth = np.mean(
        [linear_datamodelling_score(*simulated(s, 0.7, 3000), bootstrap=0).correlation for s in range(5)]
    )
    inside = 0
    for seed in range(100, 160):
        found = linear_datamodelling_score(*simulated(seed, 0.7), bootstrap=100)
        inside += found.low <= truth <= found.high
    assert inside >= 50


def test_the_same_seed_gives_the_same_interval():
    data = simulated(3, 0.5)
    assert linear_datamodelling_score(*data, seed=1) == linear_datamodelling_score(*data, seed=1)
    assert linear_datamodelling_score(*data, seed=1) != linear_datamodelling_score(*data, seed=2)


def test_a_constant_score_has_no_correlation():
    inside, _, outcomes = simulated(0, 1.0)
    found = linear_datamodelling_score(inside, np.full(100, 1e9), outcomes)
    assert math.isnan(found.correlation) and math.isnan(found.low)


@pytest.mark.parametrize(
    "shapes", [((3, 4), (5,), (3,)), ((3, 4), (4,), (2,)), ((2, 4), (4,), (2,)), ((3,), (3,), (3,))]
)
def test_shapes_that_do_not_fit_are_refused(shapes):
    subsets, scores, outcomes = (np.ones(shape) for shape in shapes)
    with pytest.raises(ValueError, match="they must be"):
        linear_datamodelling_score(subsets.astype(bool), scores, outcomes)
