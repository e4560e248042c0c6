"""Class-norm and dataset-norm: mean 0 and standard deviation 1; constant values become 0."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signals_tables import random_run

from thresher.scores import class_norm, column, dataset_norm, score_table
from thresher.scores.normalise import class_rank
from thresher.selection import select

tables = st.integers(1, 40).flatmap(
    lambda rows: st.tuples(
        st.lists(st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), min_size=rows, max_size=rows).map(np.array),
        st.lists(st.integers(0, 4), min_size=rows, max_size=rows).map(np.array),
    )
)


def with_mates(table):
    """Every row's number and value, and the values of its class."""
    values, labels = table
    for row, (value, label) in enumerate(zip(values, labels, strict=True)):
        yield row, value, [float(v) for v, other in zip(values, labels, strict=True) if other == label]


@given(table=tables)
def test_class_norm_is_the_distance_to_the_class_mean_in_standard_deviations(table):
    found = class_norm(*table)
    for row, value, mates in with_mates(table):
        mean = sum(mates) / len(mates)
        std = (sum((mate - mean) ** 2 for mate in mates) / len(mates)) ** 0.5
        expected = (value - mean) / std if max(mates) > min(mates) else 0.0
        assert found[row] == pytest.approx(expected, rel=1e-6, abs=1e-6)


@given(table=tables)
def test_class_rank_is_the_share_of_the_class_that_is_smaller_and_half_of_what_is_equal(table):
    found = class_rank(*table)
    for row, value, mates in with_mates(table):
        below, equal = sum(mate < value for mate in mates), sum(mate == value for mate in mates)
        assert found[row] == pytest.approx((below + equal / 2) / len(mates))


@given(table=tables)
def test_within_a_class_the_mean_is_0_and_the_standard_deviation_1(table):
    values, labels = table
    found = class_norm(values, labels)
    for label in np.unique(labels):
        inside = found[labels == label]
        assert inside.mean() == pytest.approx(0, abs=1e-9)
        spread = len(np.unique(values[labels == label])) > 1
        assert inside.std() == pytest.approx(1 if spread else 0, abs=1e-6)


@given(table=tables)
def test_the_ranking_within_a_class_is_unchanged(table):
    values, labels = table
    found = class_norm(values, labels)
    for label in np.unique(labels):
        inside = np.flatnonzero(labels == label)
        assert (np.diff(found[inside][np.argsort(values[inside], kind="stable")]) >= 0).all()


@given(table=tables, data=st.data())
def test_the_order_of_the_rows_changes_no_bit(table, data):
    values, labels = table
    order = np.array(data.draw(st.permutations(range(len(values)))))
    assert (class_norm(values[order], labels[order]) == class_norm(values, labels)[order]).all()
    assert (dataset_norm(values[order]) == dataset_norm(values)[order]).all()
    assert (class_rank(values[order], labels[order]) == class_rank(values, labels)[order]).all()


@given(table=tables)
def test_dataset_norm_is_class_norm_of_one_class(table):
    values, _ = table
    spread = max(float(values.std()), 1e-300)
    expected = (values - values.mean()) / spread if len(np.unique(values)) > 1 else np.zeros(len(values))
    np.testing.assert_allclose(dataset_norm(values), expected, rtol=1e-6, atol=1e-6)


def test_the_two_norms_differ_where_classes_have_their_own_level():
    values, labels = np.array([1.0, 2.0, 101.0, 102.0]), np.array([0, 0, 1, 1])
    assert class_norm(values, labels).tolist() == [-1, 1, -1, 1]
    assert (dataset_norm(values)[2:] > 0).all() and (dataset_norm(values)[:2] < 0).all()


@pytest.mark.parametrize("equal", [0.0, 0.1, -7.3, 1e-310, 1e300])
def test_a_class_of_equal_scores_or_of_one_row_is_0(equal):
    values, labels = np.array([equal] * 7 + [3.0]), np.array([0] * 7 + [1])
    assert class_norm(values, labels).tolist() == [0.0] * 8


def test_scores_that_differ_by_rounding_only_are_equal():
    values = np.array([0.1 + 0.2, 0.3, 0.3])
    assert len(np.unique(values)) == 2
    assert dataset_norm(values).tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("scale", [1e-300, 1e300])
def test_the_scale_of_a_score_does_not_matter(scale):
    values = np.array([1.0, 2.0, 4.0])
    np.testing.assert_allclose(dataset_norm(values * scale), dataset_norm(values), rtol=1e-12)


def test_no_rows_have_no_scores():
    assert class_norm(np.zeros(0), np.zeros(0, dtype=int)).shape == (0,)


def test_a_score_with_a_heavy_tail_is_selected_by_its_rank_within_the_class():
    signals, checkpoints, _ = random_run(0, rows=40)
    table = score_table([(signals, checkpoints)])
    where, hard = column("vog_online", "auto", table.columns)
    assert (where, hard) == ("vog_online_rank", "high")
    kept = select(table, by=where, hard=hard, prune=0.5)["kept"].to_numpy()
    share = [kept[table["label"].to_numpy() == label].mean() for label in range(3)]
    assert share == pytest.approx([0.5] * 3, abs=0.1)
