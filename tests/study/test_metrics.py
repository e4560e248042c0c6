"""Accuracy and macro-F1 against scikit-learn; accuracy per group against a loop."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from thresher.study.metrics import accuracy, group_accuracy, macro_f1

answers = st.integers(1, 60).flatmap(
    lambda rows: st.tuples(
        st.lists(st.integers(0, 6), min_size=rows, max_size=rows).map(np.array),
        st.lists(st.integers(0, 8), min_size=rows, max_size=rows).map(np.array),
    )
)


@given(answers)
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(answer):
    truth, prediction = answer
    assert accuracy(truth, prediction) == pytest.approx(accuracy_score(truth, prediction))
    expected = f1_score(truth, prediction, average="macro", zero_division=0)
    assert macro_f1(truth, prediction) == pytest.approx(expected)


def test_a_class_that_is_only_predicted_counts_as_zero():
    assert macro_f1(np.array([0, 0, 0]), np.array([0, 0, 5])) == pytest.approx((0.8 + 0.0) / 2)


@given(answers, st.data())
def test_accuracy_of_each_group_is_that_of_its_rows(answer, data):
    truth, prediction = answer
    groups = data.draw(st.lists(st.sampled_from("abc"), min_size=len(truth), max_size=len(truth)))
    expected = []
    for value in sorted(set(groups)):
        right = [t == p for t, p, g in zip(truth, prediction, groups, strict=True) if g == value]
        expected.append((value, len(right), pytest.approx(sum(right) / len(right))))
    assert group_accuracy(truth, prediction, pl.Series(groups)).rows() == expected


@pytest.mark.parametrize("metric", [accuracy, macro_f1, lambda t, p: group_accuracy(t, p, pl.Series(t))])
@pytest.mark.parametrize(("truth", "prediction"), [([], []), ([1, 2], [1])])
def test_a_metric_of_nothing_is_refused(metric, truth, prediction):
    with pytest.raises(ValueError, match="a metric needs rows"):
        metric(np.array(truth, dtype=int), np.array(prediction, dtype=int))
