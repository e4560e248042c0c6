"""The similarity index against sets, its chance level against every pair of selections, the table against a loop."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.errors import UserError
from thresher.experiments.similarity import chance_similarity, similarity, similarity_table


def mask(rows: int, chosen: set[int]) -> np.ndarray:
    return np.array([row in chosen for row in range(rows)])


@given(st.integers(1, 30), st.data())
def test_the_index_is_the_shared_over_the_joint_rows(rows, data):
    size = data.draw(st.integers(1, rows))
    a, b = (set(data.draw(st.permutations(range(rows)))[:size]) for _ in range(2))
    assert similarity(mask(rows, a), mask(rows, b)) == len(a & b) / len(a | b)


@pytest.mark.parametrize(("a", "b"), [({0}, {0, 1}), (set(), set())])
def test_selections_of_different_sizes_or_of_no_row_are_refused(a, b):
    with pytest.raises(ValueError, match="compares equal sizes"):
        similarity(mask(4, a), mask(4, b))


@pytest.mark.parametrize("rows", range(1, 8))
def test_chance_is_the_mean_over_every_pair_of_selections(rows):
    for size in range(1, rows + 1):
        all_selections = [set(chosen) for chosen in combinations(range(rows), size)]
        indices = [Fraction(len(a & b), len(a | b)) for a in all_selections for b in all_selections]
        assert chance_similarity(rows, size) == pytest.approx(float(sum(indices) / len(indices)))


@pytest.mark.parametrize(("share", "chance"), [(0.05, 0.0256), (0.2, 0.1111), (0.45, 0.2903), (1.0, 1.0)])
def test_of_many_rows_chance_is_p_over_2_minus_p(share, chance):
    assert chance_similarity(1_000_000, round(1_000_000 * share)) == pytest.approx(chance, abs=5e-5)
    assert chance == pytest.approx(share / (2 - share), abs=5e-5)


@pytest.mark.parametrize("selected", [0, 5])
def test_chance_of_nothing_or_of_more_than_all_is_refused(selected):
    with pytest.raises(ValueError, match="needs at least one"):
        chance_similarity(4, selected)


def score_table(rows: int, seed: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    names = ("el2n", "pvi", "vog", "vog_class")
    scores = {name: rng.normal(size=rows) for name in names}
    return pl.DataFrame({"id": [f"row {i}" for i in range(rows)], "label": [0] * rows, **scores})


def plain_end(table: pl.DataFrame, column: str, hard: str, end: str, size: int) -> set[str]:
    ranked = sorted(zip(table[column], table["id"], strict=True), reverse=(hard == "high") == (end == "hard"))
    return {name for _, name in ranked[:size]}


@pytest.mark.parametrize("fraction", [0.05, 0.3, 0.5, 0.9])
def test_every_pair_of_scores_is_compared_at_either_end(fraction):
    table = score_table(200)
    size = round(fraction * 200)
    where = {"el2n": ("el2n", "high"), "pvi": ("pvi", "low"), "vog": ("vog_class", "high")}
    found = {row[:3]: row[3:] for row in similarity_table(table, fraction).rows()}
    assert set(found) == {(a, b, end) for a in where for b in where for end in ("hard", "easy")}
    for (a, b, end), (given_fraction, index, chance) in found.items():
        of_a, of_b = plain_end(table, *where[a], end, size), plain_end(table, *where[b], end, size)
        assert index == pytest.approx(len(of_a & of_b) / len(of_a | of_b))
        assert given_fraction == fraction
        assert chance == chance_similarity(200, size)


def test_the_order_of_the_rows_does_not_matter():
    table = score_table(100).with_columns(pl.col("el2n").round(0))
    shuffled = table.sample(fraction=1, shuffle=True, seed=3)
    assert similarity_table(shuffled, 0.2).equals(similarity_table(table, 0.2))


def test_scores_that_are_all_ties_are_as_similar_as_chance():
    table = score_table(5000).with_columns(el2n=pl.lit(0.0), pvi=pl.lit(0.0))
    found = similarity_table(table, 0.2, by=["el2n", "pvi"])
    between = found.filter(pl.col("score_a") != pl.col("score_b"))
    within = found.filter(pl.col("score_a") == pl.col("score_b"))
    assert between["similarity"].to_numpy() == pytest.approx(between["chance"].to_numpy(), abs=0.03)
    assert set(within["similarity"]) == {1.0}


def test_columns_can_be_compared_by_name():
    found = similarity_table(score_table(50), 0.2, by=["vog", "vog_class"])
    assert set(found["score_a"]) == {"vog", "vog_class"}


@pytest.mark.parametrize(
    ("fraction", "by", "message"),
    [
        (0.0, None, "fraction 0.0 of 50 rows: give one between 0 and 1"),
        (1.0, None, "fraction 1.0 of 50 rows"),
        (float("nan"), None, "fraction nan of 50 rows"),
        (0.001, None, "fraction 0.001 of 50 rows"),
        (0.2, ["forgetting"], "'forgetting' was not computed in this run"),
        (0.2, [], "the table holds no score to compare"),
    ],
)
def test_what_cannot_be_compared_is_refused(fraction, by, message):
    with pytest.raises(UserError, match=message):
        similarity_table(score_table(50), fraction, by)
