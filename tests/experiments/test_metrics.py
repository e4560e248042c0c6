"""Accuracy and macro-F1 against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from thresher.experiments.metrics import accuracy, macro_f1

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


@pytest.mark.parametrize("metric", [accuracy, macro_f1])
@pytest.mark.parametrize(("truth", "prediction"), [([], []), ([1, 2], [1])])
def test_a_metric_of_nothing_is_refused(metric, truth, prediction):
    with pytest.raises(ValueError, match="a metric needs rows"):
        metric(np.array(truth, dtype=int), np.array(prediction, dtype=int))
