"""Finding wrong labels: precision and average precision against their definitions, and confident learning by loops."""

from __future__ import annotations

import itertools
import statistics

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from research.study.detect import (
    average_precision,
    confident_learning,
    detection_table,
    precision_at,
)
from thresher.errors import UserError

rows = st.lists(st.tuples(st.integers(0, 4).map(float), st.booleans()), min_size=2, max_size=40).filter(
    lambda found: 0 < sum(wrong for _, wrong in found) < len(found)
)


@given(rows)
def test_average_precision_is_that_of_scikit_learn(found):
    suspicion, wrong = (np.array(column) for column in zip(*found, strict=True))
    assert average_precision(suspicion, wrong) == pytest.approx(average_precision_score(wrong, suspicion))


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 2).map(float), st.booleans()), min_size=2, max_size=6),
    st.integers(1, 6),
)
def test_precision_is_the_mean_over_all_orders_of_ties(found, count):
    count = min(count, len(found))
    shares = []
    for order in itertools.permutations(found):
        best = sorted(order, key=lambda row: -row[0])[:count]  # a stable sort: ties stay in their order
        shares.append(sum(wrong for _, wrong in best) / count)
    suspicion, wrong = (np.array(column) for column in zip(*found, strict=True))
    assert precision_at(suspicion, wrong, count) == pytest.approx(statistics.fmean(shares))


def test_every_score_column_is_listed_from_both_ends_best_first():
    rng = np.random.default_rng(0)
    wrong = rng.random(400) < 0.1
    table = pl.DataFrame(
        {
            "id": [f"r{i}" for i in range(400)],
            "label": ["a"] * 400,
            "good": wrong + rng.normal(size=400) * 0.2,
            "noise": rng.normal(size=400),
            "good_class": -(wrong + rng.normal(size=400) * 0.4),
            "source": ["live"] * 400,
        }
    )
    found = detection_table(table, wrong)
    assert set(zip(found["score"], found["end"], strict=True)) == set(
        itertools.product(("good", "noise", "good_class"), ("high", "low"))
    )
    assert found["average_precision"].is_sorted(descending=True)
    assert found.select("score", "end").rows()[:2] == [("good", "high"), ("good_class", "low")]
    assert found["chance"].unique().to_list() == [wrong.mean()]
    noise = found.filter(score="noise")["average_precision"]
    assert (abs(noise - wrong.mean()) < 0.08).all()


@pytest.mark.parametrize("wrong", [[True, True], [False, False]])
def test_there_must_be_rows_of_both_kinds(wrong):
    with pytest.raises(
        UserError, match="of 2 rows have a wrong label; both correct and wrong labels are needed"
    ):
        detection_table(pl.DataFrame({"id": ["a", "b"], "aum": [1.0, 2.0]}), np.array(wrong))


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(2, 5))
def test_confident_learning_by_loops(seed, count, classes):
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, count)
    p = rng.dirichlet(np.ones(classes) * 0.5, count)
    means = {k: statistics.fmean(p[i, k] for i in range(count) if label[i] == k) for k in set(label.tolist())}
    expected = []
    for i in range(count):
        confident = [k for k in means if p[i, k] >= means[k] - 1e-12]
        expected.append(bool(confident) and max(confident, key=lambda k: p[i, k]) != label[i])
    found = confident_learning(label, p)
    assert found.flagged.tolist() == expected
    np.testing.assert_allclose(found.suspicion, [1 - p[i, label[i]] for i in range(count)])


def test_confident_learning_finds_planted_labels():
    rng = np.random.default_rng(1)
    true = rng.integers(0, 4, 1000)
    label = np.where(rng.random(1000) < 0.1, (true + 1) % 4, true)
    p = rng.dirichlet(np.ones(4) * 3, 1000) * 0.3
    p[np.arange(1000), true] += 0.7
    found = confident_learning(label, p)
    wrong = label != true
    assert (found.flagged == wrong).mean() > 0.99
    assert average_precision(found.suspicion, wrong) > 0.99


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="for 3 labels"):
        confident_learning(np.array([0, 1, 0]), np.ones((2, 2)))
