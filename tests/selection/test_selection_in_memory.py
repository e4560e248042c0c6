"""`select` keeps the rows of the definition, which depend only on ids, scores and settings."""

from __future__ import annotations

import math
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_selection import keys_of, plain_select
from selection_tables import columns_for, frame, quietly, requests, tables

from thresher.errors import UserError
from thresher.selection import find, read, select, strategies
from thresher.selection.candidates import exact_mean


def kept_ids(selected: pl.DataFrame) -> set[Any]:
    return set(selected.filter("kept")["id"])


@settings(max_examples=150, deadline=None)
@given(tables(), requests())
def test_keeps_what_the_plain_implementation_keeps(
    rows: list[dict[str, Any]], request: dict[str, Any]
) -> None:
    expected = plain_select(rows, **request)
    if not expected:
        with pytest.raises(UserError, match="keeps nothing"):
            quietly(frame(rows), **request)
        return
    selected = quietly(frame(rows), **request)
    assert selected.schema == {"id": pl.String, "key": pl.Float64, "kept": pl.Boolean}
    assert selected["id"].to_list() == [row["id"] for row in rows]
    assert kept_ids(selected) == expected


@settings(max_examples=80, deadline=None)
@given(tables(), requests(), st.randoms(use_true_random=False))
def test_row_order_changes_nothing(rows: list[dict[str, Any]], request: dict[str, Any], random: Any) -> None:
    try:
        first = quietly(frame(rows), **request)
    except UserError:
        return
    mixed = random.sample(rows, len(rows))
    second = quietly(frame(mixed).lazy(), **request)
    assert second.sort("id").equals(first.sort("id"))


@settings(max_examples=100, deadline=None)
@given(tables(), requests())
def test_counts_floors_and_protection(rows: list[dict[str, Any]], request: dict[str, Any]) -> None:
    try:
        selected = quietly(frame(rows), **request)
    except UserError:
        return
    kept = kept_ids(selected)
    total = round((1 - request["prune"]) * len(rows))
    raised = int((selected["key"] == math.inf).sum())
    assert len(kept) == max(total, raised)
    for column in request["floor_group"]:
        for value in {row[column] for row in rows}:
            members = {row["id"] for row in rows if row[column] == value}
            assert len(kept & members) >= min(request["floor"], len(members))
    for pair in request["protect"]:
        column, value = pair.split("=")
        assert {row["id"] for row in rows if row[column] == value} <= kept
    if request["strategy"] == "recommended":  # its groups get no share of their own
        return
    if len(kept) == total and request["stratify"] and not raised:
        for value in {row[request["stratify"]] for row in rows}:
            members = {row["id"] for row in rows if row[request["stratify"]] == value}
            assert abs(len(kept & members) - total * len(members) / len(rows)) < 1


@pytest.mark.parametrize("strategy", strategies())
def test_golden_selections_do_not_change(strategy: str) -> None:
    # Written down once from the plain implementation, so that both changing together is seen.
    golden = {
        "coverage": [0, 4, 9],
        "cutoff": [9, 10, 11],
        "linear": [4, 9, 11],
        "mixed": [4, 9, 11],
        "moderate": [4, 6, 7],
        "random": [0, 3, 4],
        "recommended": [0, 3, 4],  # nothing was learned: as random rows
        "softmax": [0, 4, 9],
        "stratified": [0, 4, 6],
        "window": [8, 9, 10],
    }
    table = pl.DataFrame(
        {
            "id": range(12),
            "s": [0.1, 0.1, 0.1, 0.2, 0.3, 0.3, 0.5, 0.6, 0.9, 0.9, 0.9, 2.0],
            "g": list("aaabbbaaabbb"),
        }
    )
    stratify = "g" if find(strategy).needs_stratify else None
    by = columns_for(strategy, "s")
    selected = select(table, by=by, prune=0.75, strategy=strategy, stratify=stratify, seed=8)
    assert sorted(kept_ids(selected)) == golden[strategy]


@pytest.mark.parametrize(
    ("end", "hard", "kept"),
    [
        ("easy", "high", {"d", "e"}),
        ("hard", "high", {"a", "b"}),
        ("easy", "low", {"a", "b"}),
        ("hard", "low", {"d", "e"}),
    ],
)
def test_the_end_that_is_pruned(end: Any, hard: Any, kept: set[str]) -> None:
    table = pl.DataFrame({"id": list("abcde"), "s": [1, 2, 3, 4, 5]})
    assert kept_ids(select(table, by="s", prune=0.6, end=end, hard=hard)) == kept
    for strategy in ("softmax", "linear"):
        times: dict[str, int] = dict.fromkeys("abcde", 0)
        for seed in range(300):
            for row_id in kept_ids(
                select(table, by="s", prune=0.6, end=end, hard=hard, strategy=strategy, seed=seed)
            ):
                times[row_id] += 1
        ranked = sorted(times, key=lambda row_id: times[row_id], reverse=True)
        assert set(ranked[:2]) == kept


@pytest.mark.parametrize("strategy", [name for name in strategies() if name not in ("window", "coverage")])
@pytest.mark.parametrize("dtype", [pl.Float64, pl.Float32, pl.Int16, pl.UInt64])
def test_constant_scores_are_drawn_at_random_by_the_hash(strategy: str, dtype: pl.DataType) -> None:
    table = pl.DataFrame({"id": range(1000), "s": pl.Series([7] * 1000).cast(dtype), "g": ["x"] * 1000})
    stratify = "g" if find(strategy).needs_stratify else None
    same = select(
        table, by=columns_for(strategy, "s"), prune=0.3, strategy=strategy, stratify=stratify, seed=4
    )
    random = select(table, by="s", prune=0.3, strategy="random", seed=4)
    assert kept_ids(same) == kept_ids(random)
    # Not the first or the last rows of the file.
    assert 450 < np.mean(sorted(kept_ids(same))) < 550


def test_ties_do_not_follow_the_order_of_the_file() -> None:
    table = pl.DataFrame({"id": [f"r{i}" for i in range(2000)], "s": [0.0] * 1500 + [1.0] * 500})
    selected = select(table, by="s", prune=0.5)
    among_ties = selected[:1500]["kept"].to_numpy()
    assert selected[1500:]["kept"].all()
    assert among_ties.sum() == 500
    halves = among_ties[:750].sum(), among_ties[750:].sum()
    assert abs(int(halves[0]) - int(halves[1])) < 5 * math.sqrt(500)


def test_zero_and_minus_zero_are_equal_scores() -> None:
    ids = list(range(200))
    plus = pl.DataFrame({"id": ids, "s": [0.0] * 200})
    mixed = pl.DataFrame({"id": ids, "s": [0.0, -0.0] * 100})
    for end in ("easy", "hard"):
        assert kept_ids(select(plus, by="s", prune=0.5, end=end)) == kept_ids(
            select(mixed, by="s", prune=0.5, end=end)
        )


def test_ids_are_unchanged_and_numbers_draw_like_their_text() -> None:
    numbers = pl.DataFrame({"id": pl.Series(range(50), dtype=pl.UInt32), "s": [1.0] * 50})
    selected = select(numbers, by="s", prune=0.5)
    text = select(numbers.with_columns(pl.col("id").cast(pl.String)), by="s", prune=0.5)
    assert selected.schema["id"] == pl.UInt32
    assert selected["kept"].to_list() == text["kept"].to_list()


def test_random_needs_no_score() -> None:
    table = pl.DataFrame({"id": list("abcd"), "s": [None, math.nan, 1.0, 2.0], "g": list("xxyy")})
    assert select(table, by=None, prune=0.5, strategy="random")["kept"].sum() == 2
    assert (
        select(table, by="s", prune=0.5, strategy="stratified", stratify="g")["kept"].to_list().count(True)
        == 2
    )
    with pytest.raises(UserError, match="strategy 'cutoff' needs a score column"):
        select(table, by=None, prune=0.5)


def test_stratify_works_with_every_strategy() -> None:
    table = pl.DataFrame({"id": range(100), "s": range(100), "g": ["small"] * 20 + ["large"] * 80})
    for strategy in (name for name in strategies() if name != "recommended"):
        kept = (
            select(table, by="s", prune=0.5, strategy=strategy, stratify="g")
            .filter("kept")
            .join(table, on="id")
        )
        assert dict(kept.group_by("g").len().iter_rows()) == {"small": 10, "large": 40}
    # Cut-off within groups: the hard half of each.
    by_group = select(table, by="s", prune=0.5, stratify="g")
    assert kept_ids(by_group) == {*range(10, 20), *range(60, 100)}


def test_floors_raise_the_highest_keys_of_a_small_class_and_keep_the_total() -> None:
    # The class "rare" is all easy: a cut-off alone would drop it.
    table = pl.DataFrame({"id": range(100), "s": range(100), "label": ["rare"] * 6 + ["common"] * 94})
    selected = select(table, by="s", prune=0.5, floor=4, floor_group=("label",))
    kept = kept_ids(selected)
    assert {2, 3, 4, 5} <= kept and not {0, 1} & kept
    assert len(kept) == 50
    # The four rows it cost are the easiest of those that would have been kept.
    assert kept == {2, 3, 4, 5, *range(54, 100)}
    assert set(selected.filter(pl.col("key").is_infinite())["id"]) == {2, 3, 4, 5, 96, 97, 98, 99}


def test_floors_of_more_than_the_total_keep_more_and_say_so() -> None:
    table = pl.DataFrame({"id": range(10), "s": range(10), "label": list("aabbccddee")})
    with pytest.warns(
        UserWarning, match=r"floors and protected rows keep 10 of 10 rows, 5 more than prune 0\.5"
    ):
        selected = select(table, by="s", prune=0.5, floor=2, floor_group=("label",))
    assert selected["kept"].all()


def test_protected_rows_count_towards_the_total_and_the_floors() -> None:
    table = pl.DataFrame(
        {"id": range(10), "s": range(10), "label": ["a"] * 5 + ["b"] * 5, "source": ["synthetic", "live"] * 5}
    )
    selected = select(
        table, by="s", prune=0.5, floor=2, floor_group=("label",), protect=("source=synthetic",)
    )
    # 0, 2, 4 of label a and 6, 8 of label b are protected: five rows, and the floors are met by them.
    assert kept_ids(selected) == {0, 2, 4, 6, 8}


def test_a_protection_that_matches_no_row_is_reported() -> None:
    table = pl.DataFrame({"id": [1, 2], "s": [1, 2], "source": ["live", None]})
    with pytest.warns(UserWarning, match="protect 'source=synthetc' matches no row"):
        select(table, by="s", prune=0.5, protect=("source=synthetc",))


def test_missing_values_are_one_group() -> None:
    table = pl.DataFrame({"id": range(8), "s": range(8), "g": [None, None, "", "", "null", "null", "x", "x"]})
    assert kept_ids(select(table, by="s", prune=0.5, floor=1, floor_group=("g",))) == {1, 3, 5, 7}
    assert kept_ids(select(table, by="s", prune=0.5, stratify="g")) == {1, 3, 5, 7}


def test_keys_are_the_plain_ones() -> None:
    rows = [{"id": f"r{i}", "s": float(i % 7)} for i in range(60)]
    table = pl.DataFrame(rows)
    for strategy in ("cutoff", "softmax", "linear", "random"):
        key = select(table, by="s", prune=0.5, strategy=strategy, end="hard", seed=3)["key"]
        np.testing.assert_allclose(key, keys_of(rows, "s", strategy, -1, 3, {}), rtol=1e-13)


def test_a_window_leaves_out_the_hardest_and_keeps_from_there() -> None:
    table = pl.DataFrame({"id": range(100), "s": range(100), "g": ["low"] * 50 + ["high"] * 50})
    window: dict[str, Any] = {"by": "s", "strategy": "window", "options": {"beta": 0.1}}
    assert kept_ids(select(table, prune=0.7, **window)) == set(range(60, 90))
    assert kept_ids(select(table, prune=0.7, end="hard", **window)) == set(range(10, 40))
    # Within groups the share is taken of each.
    assert kept_ids(select(table, prune=0.8, stratify="g", **window)) == {*range(35, 45), *range(85, 95)}
    # More than there is below: those left out come back at random.
    assert set(range(90)) < kept_ids(select(table, prune=0.05, **window))


def test_the_recommended_rule_leaves_out_what_was_not_learned() -> None:
    # Row 99 is the hardest. The hardest ten were never learned, the others always.
    table = pl.DataFrame(
        {"id": range(100), "s": range(100), "g": ["x"] * 100, "learned": [1.0] * 90 + [0.0] * 10}
    )
    rule: dict[str, Any] = {"by": ("s", "learned"), "strategy": "recommended", "stratify": "g"}

    def kept(prune: float, learned: float) -> set[Any]:
        return kept_ids(select(table, prune=prune, options={"learned": learned, "sample": 0}, **rule))

    # Of the 80 hardest rows 70 were learned: 0.875 is reached as they are, so nothing is left out.
    assert kept(0.2, 0.875) == set(range(20, 100))
    # Of the 40 hardest 30 were; after the first five 35 of 40 are.
    assert kept(0.6, 0.75) == set(range(60, 100))
    assert kept(0.6, 0.875) == set(range(55, 95))
    # Where nothing reaches it, three in ten of all rows are left out at the hard end, and no more.
    assert kept(0.6, 1.1) == set(range(30, 70))
    assert kept(0.2, 1.1) == set(range(80))


def test_the_recommended_rule_becomes_a_stratified_draw_where_little_was_learned() -> None:
    rows = 2000
    table = pl.DataFrame({"id": range(rows), "s": range(rows), "g": ["few"] * 200 + ["many"] * 1800})
    rule: dict[str, Any] = {"by": ("s", "learned"), "strategy": "recommended", "stratify": "g", "prune": 0.5}

    def kept(in_time: float, seed: int = 0) -> set[Any]:
        learned = [1.0] * round(in_time * rows) + [0.0] * round((1 - in_time) * rows)
        # Which rows were learned does not depend on how hard they are.
        told = pl.Series(learned).sample(fraction=1, shuffle=True, seed=1)
        return kept_ids(select(table.with_columns(learned=told), seed=seed, **rule))

    hardest = set(range(1500, rows))
    with pytest.warns(
        UserWarning, match="learned 50% of them by the middle of its training: 1,000 of the 1,000"
    ):
        drawn = kept(0.5)
    # As a random draw: half of every class, half of the hardest quarter, other rows for another seed.
    assert len(drawn & set(range(200))) == 100
    assert 200 < len(drawn & hardest) < 300
    with pytest.warns(UserWarning):
        assert 400 < len(drawn & kept(0.5, seed=1)) < 600
    # Between 55% and 80% it moves from the one to the other.
    shares = []
    for in_time in (0.55, 0.6, 0.65, 0.7, 0.75):
        with pytest.warns(UserWarning, match="drawn at random, class by class"):
            shares.append(len(kept(in_time) & drawn))
    assert shares == sorted(shares, reverse=True) and shares[0] == 1000 > shares[-1] + 200
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(kept(0.8)) == 1000


def test_the_warning_counts_drawn_rows_that_fill_up_the_shares_of_the_classes() -> None:
    # Half of 7 and of 11 rows is 3 and 5 whole ones; the ninth is drawn too.
    table = pl.DataFrame(
        {"id": range(18), "s": range(18), "g": ["a"] * 7 + ["b"] * 11, "learned": [0.0] * 18}
    )
    with pytest.warns(UserWarning, match="9 of the 9 kept rows are drawn at random"):
        select(table, by=("s", "learned"), strategy="recommended", stratify="g", prune=0.5)


def test_the_recommended_rule_keeps_some_of_every_class_and_no_share_of_it() -> None:
    table = pl.DataFrame(
        {"id": range(100), "s": range(100), "g": ["easy"] * 40 + ["hard"] * 60}
    ).with_columns(learned=1.0)
    rule: dict[str, Any] = {"by": ("s", "learned"), "strategy": "recommended", "stratify": "g"}

    def kept(least: float) -> set[Any]:
        return kept_ids(select(table, prune=0.5, options={"least": least, "sample": 0}, **rule))

    # An even share of the 50 rows is 25.
    assert kept(0) == set(range(50, 100))
    assert kept(0.5) == {*range(28, 40), *range(62, 100)}
    assert kept(1) == {*range(15, 40), *range(75, 100)}


def test_the_recommended_rule_draws_some_rows_whatever_their_score() -> None:
    rows = 4000
    table = pl.DataFrame({"id": range(rows), "s": range(rows), "g": ["x"] * rows}).with_columns(learned=1.0)

    def kept(sample: float, seed: int) -> set[Any]:
        options = {"sample": sample, "learned": 0.0}
        rule: dict[str, Any] = {"by": ("s", "learned"), "strategy": "recommended", "stratify": "g"}
        return kept_ids(select(table, prune=0.5, options=options, seed=seed, **rule))

    easy = set(range(1000))
    of_easy = [kept(0.2, seed) & easy for seed in (1, 2)]
    # A fifth of the 2,000 that are kept are drawn from all rows: about 100 of the easiest 1,000, others for each seed.
    assert all(70 < len(drawn) < 130 for drawn in of_easy)
    assert len(of_easy[0] & of_easy[1]) < 40
    assert set(range(2300, rows)) < kept(0.2, 1) and len(kept(0.2, 1)) == 2000
    assert not kept(0.0, 1) & easy


def test_coverage_shares_the_rows_among_the_layers_from_the_smallest_up() -> None:
    # Layers of 3, 40 and 50 rows, and 7 far ones that are left out first.
    scores = [0.1] * 3 + [1.5] * 40 + [3.0] * 50 + [99.0] * 7
    table = pl.DataFrame({"id": range(100), "s": scores})
    options = {"beta": 0.07, "strata": 3}
    kept = kept_ids(select(table, by="s", prune=0.57, strategy="coverage", options=options))
    assert [len(kept & set(part)) for part in (range(3), range(3, 43), range(43, 93), range(93, 100))] == [
        3,
        20,
        20,
        0,
    ]
    other = kept_ids(select(table, by="s", prune=0.57, strategy="coverage", options=options, seed=1))
    assert other != kept and len(other) == 43


def test_moderate_keeps_the_middle_of_each_group() -> None:
    table = pl.DataFrame({"id": range(14), "s": [*range(7), *range(70, 77)], "g": ["x"] * 7 + ["y"] * 7})
    kept = kept_ids(select(table, by="s", prune=8 / 14, strategy="moderate", stratify="g"))
    assert kept == {2, 3, 4, 9, 10, 11}


def test_the_mean_of_a_column_does_not_depend_on_the_order_of_its_rows() -> None:
    generator = np.random.default_rng(0)
    values = np.concatenate(
        [generator.normal(size=999) * 1e9, generator.normal(size=1000) * 1e-9, [1e300, -1e300]]
    )
    exact = sum((Fraction(value) for value in values.tolist()), Fraction(0))
    for _ in range(5):
        generator.shuffle(values)
        assert exact_mean(values) == float(exact / len(values))
    assert exact_mean(np.array([5e-324, 5e-324])) == 5e-324
    largest = float(np.finfo(np.float64).max)
    assert exact_mean(np.full(9, largest)) == largest


GOOD = {"id": ["a", "b", "c"], "s": [1.0, 2.0, 3.0], "g": ["x", "y", "y"], "nested": [[1], [2], [3]]}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"prune": 0.0}, "prune is 0.0; it must lie between 0 and 1, for example 0.45"),
        ({"prune": 1}, "prune is 1; it must lie between 0 and 1, for example 0.45"),
        ({"prune": math.nan}, "prune is nan; it must lie between 0 and 1, for example 0.45"),
        ({"prune": 45}, "prune is 45; it must lie between 0 and 1, for example 0.45"),
        ({"prune": "0.5"}, "prune is 0.5; it must lie between 0 and 1, for example 0.45"),
        ({"prune": 0.9}, "prune 0.9 of 3 rows keeps nothing; prune less"),
        ({"by": "vgo"}, "scores: no column 'vgo'; it has id, s, g, nested"),
        ({"by": "g"}, "scores: column 'g' is String, not a number; give by a numeric column"),
        (
            {"strategy": "top"},
            f"unknown strategy 'top'; known strategies: {', '.join(strategies())}",
        ),
        (
            {"by": ("s", "s")},
            "strategy 'cutoff' takes one score column, not s, s; strategy 'mixed' takes several",
        ),
        (
            {"hard": ("high", "low")},
            "hard gives the ends of 2 columns and by names 1; give one end per column",
        ),
        (
            {"strategy": "window", "options": {"beta": 1}},
            "strategy 'window': option 'beta' is 1; it must be at least 0 and below 1",
        ),
        (
            {"strategy": "coverage", "options": {"strata": 2.5}},
            "strategy 'coverage': option 'strata' is 2.5; it must be a whole number from 1 to 10,000",
        ),
        (
            {"strategy": "softmax", "options": {"temperature": -1}},
            "strategy 'softmax': option 'temperature' is -1; it must be above 0",
        ),
        ({"options": {"eps": 0.1}}, "strategy 'cutoff' has no option 'eps'; it has none"),
        ({"end": "low"}, "end is 'low'; it is one of easy, hard"),
        ({"hard": "easy"}, "hard is 'easy'; it is one of high, low"),
        (
            {"strategy": "stratified"},
            "strategy 'stratified' needs a column to stratify by; give stratify, for example the label",
        ),
        (
            {"strategy": "recommended"},
            "strategy 'recommended' needs a column to stratify by; give stratify, for example the label",
        ),
        (
            {"strategy": "recommended", "stratify": "g"},
            "strategy 'recommended' takes 2 score columns;"
            " give hardest_view or held_out_margin or aum and correctness",
        ),
        (
            {"strategy": "recommended", "stratify": "g", "by": ("s", "s"), "options": {"least": 2}},
            "strategy 'recommended': option 'least' is 2; it must be from 0 to 1",
        ),
        ({"stratify": "h"}, "scores: no column 'h'; it has id, s, g, nested"),
        (
            {"stratify": "nested"},
            "scores: column 'nested' is List(Int64); groups are text, numbers or truth values",
        ),
        ({"floor": 1}, "floor is 1 but no group column is named; give floor_group, for example the label"),
        ({"floor": -1}, "floor is -1; it must be 0 or more rows"),
        ({"floor": 1, "floor_group": ("h",)}, "scores: no column 'h'; it has id, s, g, nested"),
        ({"protect": ("g",)}, "protect 'g': write COLUMN=VALUE, for example source=synthetic"),
        ({"protect": ("h=1",)}, "scores: no column 'h'; it has id, s, g, nested"),
        ({"seed": 0.5}, "seed is 0.5; it must be a whole number from 0 to 2**64 - 1"),
        ({"seed": -1}, "seed is -1; it must be a whole number from 0 to 2**64 - 1"),
    ],
)
def test_mistakes_get_one_line(request_: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as caught:
        select(pl.DataFrame(GOOD), **{"by": "s", "prune": 0.5, **request_})
    assert str(caught.value) == message


@pytest.mark.parametrize("bad", [None, math.nan, math.inf, -math.inf])
def test_scores_that_are_not_numbers_are_counted_and_the_first_is_named(bad: float | None) -> None:
    table = pl.DataFrame({"id": ["a", "b", "c\nd", "e"], "s": [1.0, 2.0, bad, bad]})
    with pytest.raises(UserError) as caught:
        select(table, by="s", prune=0.5)
    assert str(caught.value) == (
        r"scores: column 's' is missing, NaN or infinite in 2 rows, the first with id 'c\nd';"
        " score them or leave them out"
    )
    with pytest.raises(UserError, match="in 1 row, the first with id 'e'"):
        select(table.filter(pl.col("id") != "c\nd"), by="s", prune=0.5)


def test_broken_ids_and_tables_are_refused() -> None:
    def refused(**columns: Any) -> str:
        with pytest.raises(UserError) as caught:
            select(pl.DataFrame(columns), by="s", prune=0.5)
        return str(caught.value)

    assert refused(s=[1.0]) == "scores: no column 'id'; it has s"
    assert refused(id=[], s=[]).startswith("scores: ids are text or whole numbers")
    assert refused(id=[0.5], s=[1.0]).startswith(
        "scores: ids are text or whole numbers, column 'id' is Float64"
    )
    assert (
        refused(id=["a", None, None], s=[1.0] * 3)
        == "scores: column 'id' is empty in 2 rows; every row needs an id"
    )
    assert refused(id=["a", "b", "a", "c"], s=[1.0, 2, 3, 4]) == (
        "scores: id 'a' is in 2 rows; the ids in column 'id' must be unique"
    )
    assert refused(id=["a", "b"], s=[-1.7e308, 1.7e308]) == (
        "scores: column 's' spans more than a float64 holds; rescale it"
    )
    with pytest.raises(UserError, match="no rows"):
        select(pl.DataFrame(schema={"id": pl.String, "s": pl.Float64}), by="s", prune=0.5)


def test_different_ids_of_one_hash_are_not_repeated_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    # 64 bits hardly ever collide, so every hash is put under suspicion here: the ids themselves must clear it.
    monkeypatch.setattr(read, "_repeated", lambda tie: tie)
    table = pl.DataFrame({"id": [f"r{i}" for i in range(100)], "s": [float(i) for i in range(100)]})
    assert kept_ids(select(table, by="s", prune=0.5)) == {f"r{i}" for i in range(50, 100)}
