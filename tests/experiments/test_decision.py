"""The decision: each word where it belongs, and wrong no more often than it may be, however often one looks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from thresher.experiments.decision import (
    MOST_ROWS,
    Parts,
    decision,
    follow,
    needed,
    parts_of,
    within_reach,
    word_of,
)
from thresher.experiments.decision_sentence import reason
from thresher.experiments.intervals import paired_interval
from thresher.experiments.looks import confidences, planned

PLAN = planned(3, 10)
MARGIN = 0.005
SOME = Parts(seed=1e-6, row=0.01, both=0.02)


def span(mean: float, low: float, high: float) -> dict[str, float]:
    """An interval in points."""
    return {"mean": mean / 100, "low": low / 100, "high": high / 100}


def entry(found: dict[str, float], **changes: Any) -> dict[str, Any]:
    """A comparison as `compare` writes it: 1,234 of 2,742 rows dropped, random rows level with all."""
    settings = {
        "n_full": 2742,
        "n_kept": 1508,
        "n_test": 1000,
        "same_steps": False,
        "steps_full": 258,
        "steps_pruned": 144,
    }
    differences = {
        "kept-full": {"accuracy": found},
        "random-full": {"accuracy": changes.pop("random", span(0, -0.5, 0.5))},
        "kept-random": {"accuracy": changes.pop("against", span(0, -0.5, 0.5))},
    }
    return {"settings": settings | changes, "differences": differences, "caution": ""}


def decided(
    found: dict[str, float], parts: Parts = SOME, caution: str = "", **changes: Any
) -> dict[str, Any]:
    look = {
        "seeds": 3,
        "confidence": 0.95,
        **found,
        "word": "undecided" if caution else word_of(found, MARGIN),
    }
    return decision(entry(found, **changes) | {"caution": caution}, parts, [look], (3,), 0.5)


def test_rows_are_dropped_where_a_loss_of_the_margin_is_ruled_out():
    found = decided(span(-0.10, -0.42, 0.22))
    assert found["word"] == "drop" and found["needs"] is None
    assert found["sentence"] == (
        "Drop these 1,234 rows (45%): accuracy changes by -0.10 points [-0.42, +0.22], within the margin of 0.5."
    )


def test_a_loss_that_is_shown_to_be_small_enough_is_no_reason_to_keep_the_rows():
    assert decided(span(-0.3, -0.45, -0.1))["word"] == "drop"


def test_rows_are_not_dropped_where_a_loss_is_shown_that_may_be_too_large():
    found = decided(span(-0.7, -1.3, -0.1))
    assert found["word"] == "do not drop"
    assert found["sentence"] == (
        "Do not drop these 1,234 rows (45%): accuracy changes by -0.70 points [-1.30, -0.10], a loss that may exceed the margin"
        " of 0.5."
    )


def test_without_a_loss_rows_are_probably_safe_and_it_is_said_how_many_seeds_would_show_it():
    found = decided(span(-0.1, -0.8, 0.6), Parts(seed=2e-5, row=1e-4, both=0.002))
    assert found["word"] == "probably safe"
    assert found["needs"] == {
        "assuming": "there is no loss",
        "seeds": 9,
        "test_rows": 1000,
        "any_seeds": True,
    }
    assert found["sentence"] == (
        "These 1,234 rows (45%) are probably safe to drop: accuracy changes by -0.10 points [-0.80, +0.60]; no loss"
        " is shown, but one of 0.5 or more is not ruled out; if there is no loss, about 9 seeds on these 1,000 test rows would"
        " show it."
    )


def test_where_no_number_of_seeds_can_decide_it_is_said_how_many_test_rows_would():
    found = decided(span(-0.1, -0.8, 0.6), Parts(seed=0, row=0.01, both=0.003))
    needs = found["needs"]
    assert needs["test_rows"] == math.ceil(0.012 / (0.005 / 1.96) ** 2)
    assert (needs["seeds"], needs["any_seeds"]) == (3, False)
    assert found["sentence"].endswith(
        "; on these 1,000 test rows no number of seeds decides it; if there is no loss, about 1,844 with 3 seeds would show it."
    )


def test_an_interval_that_is_narrow_enough_without_a_loss_asks_for_more_with_the_one_measured():
    found = decided(span(-0.3, -0.7, 0.1), Parts(seed=4e-6, row=1e-3, both=0.0), n_test=5000)
    assert (found["word"], found["needs"]["assuming"]) == ("probably safe", "the loss is as measured")
    assert found["needs"]["seeds"] == math.ceil(4e-6 / ((0.002 / 1.96) ** 2 - 1e-3 / 5000)) == 5


def test_a_loss_beyond_the_margin_that_may_be_chance_is_not_called_safe():
    found = decided(span(-1.0, -2.1, 0.1), Parts(seed=1e-4, row=1e-4, both=0.002))
    assert found["word"] == "undecided"
    assert found["sentence"] == (
        "Whether to drop these 1,234 rows (45%) is undecided: accuracy changes by -1.00 points [-2.10, +0.10], which may be"
        " chance or a loss above the margin of 0.5; if the loss is as measured, about 5 seeds on these 1,000 test rows"
        " would show it."
    )


def test_a_model_that_learned_nothing_decides_nothing():
    found = decided(span(0, -0.1, 0.1), caution="The model has not learned the task.")
    assert (found["word"], found["needs"]) == ("undecided", None)
    assert (
        found["sentence"]
        == "Nothing is decided about these 1,234 rows (45%). The model has not learned the task."
    )


def test_random_rows_that_lose_as_much_with_fewer_steps_point_to_the_same_steps():
    lost, random = span(-5, -7, -3), span(-4, -6, -2)
    assert reason(entry(lost, random=random)) == (
        "As many random rows lose, too, -4.00 points [-6.00, -2.00], which fewer steps can explain (144 instead of 258):"
        " `--same-steps` gives the kept rows as many as all rows."
    )
    assert reason(entry(lost, random=random, same_steps=True, steps_pruned=258)) == (
        "As many random rows lose, too, -4.00 points [-6.00, -2.00]: drop fewer."
    )
    assert decided(lost, random=random)["sentence"].endswith(reason(entry(lost, random=random)))


def test_random_rows_that_do_better_point_to_another_choice_and_those_that_lose_nothing_to_none():
    lost = span(-5, -7, -3)
    assert reason(entry(lost, against=span(-4, -6, -2))) == (
        "The kept rows do worse than as many random ones, -4.00 points [-6.00, -2.00]: choose by another score or strategy."
    )
    assert reason(entry(lost, random=span(0.5, -1, 2))) == ""


def test_the_parts_are_those_of_the_interval():
    rng = np.random.default_rng(0)
    full, kept = (
        (rng.random((4, 300)) < rng.random(300)).astype(int),
        (rng.random((4, 300)) < 0.6).astype(int),
    )
    truth = np.ones(300, int)
    parts = parts_of(kept, full, truth)
    assert parts.row > 0 and parts.both > 0
    assert Parts(max(parts.seed, 0), parts.row, parts.both).variance(4, 300) == pytest.approx(
        paired_interval(kept, full, truth)["se"] ** 2, rel=0.05 if parts.seed == 0 else 1e-9
    )
    one = parts_of(full[:, :1], kept[:, :1], truth[:1])
    assert one.row == 1 and one.variance(2, 1) >= 1


def test_what_is_needed_is_the_least_that_reaches_the_width():
    parts = Parts(seed=2e-5, row=1e-4, both=0.002)
    found = needed(parts, 0.005, 2, 1000)
    wanted = (0.005 / 1.96) ** 2
    assert parts.variance(found["seeds"], 1000) <= wanted < parts.variance(found["seeds"] - 1, 1000)
    rows = needed(Parts(1e-4, 0.02, 0.002), 0.005, 3, 500)
    assert rows["seeds"] == math.ceil(2e-4 / wanted) and not rows["any_seeds"]
    assert Parts(1e-4, 0.02, 0.002).variance(rows["seeds"], rows["test_rows"]) <= wanted
    assert Parts(1e-4, 0.02, 0.002).variance(rows["seeds"], rows["test_rows"] - 1) > wanted
    assert needed(Parts(0.0, 1.0, 0.0), 1e-9, 3, 500)["test_rows"] == MOST_ROWS


def test_the_looks_grow_to_the_most_and_one_look_is_the_plain_interval():
    assert planned(3, 10) == (3, 5, 8, 10)
    assert planned(4, 4) == planned(4, 2) == (4,)
    assert confidences((7,)) == (0.95,)


def test_the_levels_of_the_looks_miss_together_as_often_as_one_interval_may():
    sums = np.random.default_rng(0).normal(size=(200_000, 10)).cumsum(1)[:, np.array(PLAN) - 1]
    z = np.abs(sums) / np.sqrt(PLAN)
    critical = stats.norm.isf((1 - np.array(confidences(PLAN))) / 2)
    assert (z > critical).any(1).mean() == pytest.approx(0.05, abs=0.002)
    assert (z > 1.96).any(1).mean() > 0.08  # what looking as if each look were the only one does


def test_seeds_are_added_until_it_is_decided_and_no_further():
    truth = np.arange(4000) % 2
    seen = []

    def world(loss: float, noise: float):
        def at(seeds: int) -> dict[str, np.ndarray]:
            seen.append(seeds)
            rng = [np.random.default_rng(seed) for seed in range(seeds)]
            base = np.tile(np.arange(4000) < 400, (seeds, 1))
            noisy = [np.stack([one.random(4000) < noise for one in rng]) for _ in range(2)]
            worse = np.tile(np.arange(4000) >= 4000 * (1 - loss), (seeds, 1))
            return {"full": truth ^ base ^ noisy[0], "kept": truth ^ (base | worse) ^ noisy[1]}

        return at

    for loss, noise, words in (
        (0.0, 0.0, ["drop"]),
        (0.03, 0.0, ["do not drop"]),
        (0.0, 0.03, ["probably safe", "drop"]),
    ):
        seen.clear()
        looks, last = follow(world(loss, noise), truth, PLAN, MARGIN)
        assert [look["word"] for look in looks] == words
        assert seen == [look["seeds"] for look in looks] == list(PLAN[: len(words)])
        assert len(last["kept"]) == seen[-1]
        assert [look["confidence"] for look in looks] == list(confidences(PLAN)[: len(words)])


def test_no_seed_is_added_where_test_rows_are_too_few_or_nothing_was_learned():
    few = np.arange(24) % 3
    right = np.tile(few, (10, 1))
    looks, _ = follow(lambda seeds: {"full": right[:seeds], "kept": right[:seeds]}, few, PLAN, MARGIN)
    assert [(look["seeds"], look["word"]) for look in looks] == [(3, "probably safe")]
    many = np.arange(9000) % 3
    same = np.zeros((10, 9000), int)
    looks, _ = follow(lambda seeds: {"full": same[:seeds], "kept": same[:seeds]}, many, PLAN, MARGIN)
    assert [(look["seeds"], look["word"]) for look in looks] == [(3, "undecided")]


def test_more_seeds_are_worth_it_also_where_they_can_only_show_a_loss():
    parts = Parts(seed=3e-4, row=0.02, both=0.0)
    found = {"mean": -0.02, "low": -0.05, "high": 0.01, "se": 0.01, "df": 3.0, "seeds": 3, "rows": 500}
    assert within_reach(parts, found, 20, MARGIN, 0.95)  # -2 points, a standard error of 0.7 with 20 seeds
    assert not within_reach(parts, found | {"mean": -0.002}, 20, MARGIN, 0.95)


RUNS = 200


def simulated(loss: float, training: float, rng: np.random.Generator, rows: int = 2000) -> str:
    """The word at the end of a run where dropping costs `loss`: rows differ in how hard they are, some become harder by 0.5 and
    2% easier by as much, and each training is better or worse by `training` (a standard deviation)."""
    most, moved = PLAN[-1], rng.random(rows)
    harder, easier = moved < 0.02 + 2 * loss, moved > 0.98
    chance = np.clip(rng.beta(0.6, 0.1, rows), 0.02, 0.98)
    chance = np.where(harder, np.maximum(chance, 0.55), np.where(easier, np.minimum(chance, 0.45), chance))
    change = 0.5 * easier - 0.5 * harder + training * rng.normal(size=(most, 1))
    truth = np.arange(rows) % 2
    classes = {
        arm: truth ^ (rng.random((most, rows), np.float32) > chance + more)
        for arm, more in (("full", 0.0), ("kept", change))
    }
    looks, _ = follow(lambda seeds: {arm: classes[arm][:seeds] for arm in classes}, truth, PLAN, MARGIN)
    return str(looks[-1]["word"])


@pytest.mark.parametrize("loss", [0.0, 0.003, 0.005, 0.01, 0.02])
def test_at_most_one_decision_in_twenty_is_wrong(loss: float):
    rng = np.random.default_rng(round(1e4 * loss))
    words = [simulated(loss, (0.0, 0.002, 0.004)[run % 3], rng) for run in range(RUNS)]
    share = {word: words.count(word) / RUNS for word in set(words)}
    if loss >= MARGIN:
        assert share.get("drop", 0) <= 0.05, share
    if loss == 0:
        assert share.get("do not drop", 0) <= 0.05, share
    if loss == 0.02:
        assert share.get("do not drop", 0) > 0.9, share
