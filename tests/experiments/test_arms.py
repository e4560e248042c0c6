"""The arms of a sweep, by name."""

from __future__ import annotations

import polars as pl
import pytest

from thresher.errors import UserError
from thresher.experiments.arms import RANDOM, arms_of, kept_by
from thresher.selection import select

COLUMNS = ["id", "label", "aum", "correctness", "el2n", "el2n_class", "el2n_mean"]


def test_a_strategy_that_names_its_scores_is_tried_only_with_those() -> None:
    arms = arms_of(COLUMNS, ["el2n", "aum"], ["easy"], ["recommended", "cutoff"], {})
    assert [arm.name for arm in arms] == [
        "random",
        "aum+correctness easy recommended",
        "el2n easy cutoff",
        "aum easy cutoff",
    ]
    rule = arms[1]
    assert (rule.by, rule.hard, rule.request) == (
        ("aum", "correctness"),
        ("low", "low"),
        {"stratify": "label"},
    )
    assert rule.facts() == {
        "score": "aum+correctness",
        "normalise": "raw",
        "end": "easy",
        "strategy": "recommended",
        "options": {},
    }


def test_a_score_with_a_common_name_suffix_is_not_a_form_of_another() -> None:
    arms = arms_of(COLUMNS, ["el2n_mean", "el2n_class"], ["easy"], ["cutoff"], {})[1:]
    assert [(arm.facts()["score"], arm.facts()["normalise"]) for arm in arms] == [
        ("el2n_mean", "raw"),
        ("el2n", "class"),
    ]


def test_the_rule_needs_its_scores() -> None:
    with pytest.raises(UserError, match="'correctness' was not computed in this run"):
        arms_of(["id", "label", "aum"], [], ["easy"], ["recommended"], {})


@pytest.mark.parametrize(
    ("strategy", "says"),
    [
        ("softmax:temperature=hot", "strategy 'softmax': option 'temperature' is 'hot'; it takes a number"),
        ("softmax:temperature=inf", "strategy 'softmax': option 'temperature' is 'inf'; it takes a number"),
        ("soft:temperature=hot", "unknown strategy 'soft'"),
    ],
)
def test_an_option_of_a_strategy_is_refused_with_the_message_of_select(strategy: str, says: str) -> None:
    with pytest.raises(UserError, match=f"^{says}"):
        arms_of(COLUMNS, ["el2n"], ["easy"], [strategy], {})


def test_the_rule_keeps_as_many_rows_as_requested() -> None:
    table = pl.DataFrame(
        {
            "id": [str(row) for row in range(40)],
            "label": ["a", "b"] * 20,
            "aum": [float(row) for row in range(40)],
            "correctness": [1.0] * 40,
        }
    )
    (arm,) = arms_of(table.columns, [], ["easy"], ["recommended:sample=0"], {})[1:]
    kept = kept_by(arm, table, 0.75, seed=0)
    assert kept[:10].all() and kept.sum() == 10


@pytest.mark.parametrize("strategy", ["cutoff", "softmax", "linear", "random"])
def test_random_rows_overlap_with_a_selection_only_by_chance(strategy: str) -> None:
    table = pl.DataFrame(
        {"id": [f"row {i}" for i in range(4000)], "forgetting": [i % 3 == 0 for i in range(4000)]}
    )
    table = table.with_columns(pl.col("forgetting").cast(pl.Float64))
    for seed in range(3):
        kept = select(table, by="forgetting", prune=0.45, strategy=strategy, seed=seed)["kept"].to_numpy()
        random = kept_by(RANDOM, table, 0.45, seed)
        # Of 2,200 random rows 1,210 are expected, with a standard deviation of 16.
        assert abs((kept & random).sum() - 1210) < 80
