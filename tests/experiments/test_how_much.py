"""How much can be dropped: the search finds the true share with few trainings."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.config import HowMuchConfig
from thresher.errors import UserError
from thresher.experiments import share_search
from thresher.experiments.arms import Arm, kept_by
from thresher.experiments.bisection import crossing
from thresher.experiments.outcomes import Outcomes
from thresher.experiments.share_search import Look, crossing_interval, search, shares
from thresher.experiments.share_sentence import sentence
from thresher.selection.request import target

ROWS = 2000
TRAINED = 1000  # rows to prune


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(share_search, "BOOTSTRAP", 60)
        yield


def grid(step: float) -> list[float]:
    return [round(i * step, 6) for i in range(1, math.ceil(1 / step - 1e-9))]


def world(loss, noise: float = 0.0, rows: int = ROWS, held: int = 0):
    """Looks at a world where pruning a fraction costs loss(fraction) of accuracy, from 0.9; `noise`: flips per training;
    `held`: training rows that are kept at any fraction."""
    spent: list[tuple[float, int]] = []
    order = np.random.default_rng(0).permutation(rows)

    def answers(accuracy: float, seed: int) -> np.ndarray:
        right = np.zeros(rows, np.int32)
        right[order[: round(accuracy * rows)]] = 1
        flips = np.random.default_rng((seed, round(1e6 * accuracy))).random(rows) < noise
        return np.where(flips, 1 - right, right)

    def at(fraction: float, seeds: int) -> Look:
        spent.append((fraction, seeds))
        full = np.stack([answers(0.9, seed) for seed in range(seeds)])
        kept = np.stack([answers(0.9 - loss(fraction), 100 + seed) for seed in range(seeds)])
        keys = [f"full {s}" for s in range(seeds)] + [f"{fraction} {s}" for s in range(seeds)]
        n_kept = max(held, target(TRAINED, fraction))
        both = (Outcomes(right.astype(float), np.ones(rows)) for right in (kept, full))
        return Look(fraction, n_kept, TRAINED, *both, tuple(keys), 0)

    return at, spent


@given(st.floats(0.02, 0.98), st.sampled_from([0.05, 0.1, 0.02]))
@settings(max_examples=15)
def test_without_noise_it_is_the_last_fraction_before_the_step(where, step):
    at, spent = world(lambda fraction: 0.0 if fraction <= where else 0.2)
    found = search(at, grid(step), 0.005, HowMuchConfig(step=step))
    expected = max(round(i * step, 6) for i in range(math.ceil(1 / step)) if round(i * step, 6) <= where)
    assert found["fraction"] == pytest.approx(expected)
    assert len(spent) <= math.ceil(math.log2(1 / step)) + 1
    assert found["trainings"] == 3 + 3 * len(spent)  # all rows are trained on once


def test_more_trainings_are_spent_only_where_the_first_do_not_decide():
    def loss(fraction):
        return 0.0 if fraction <= 0.3 else 0.004 if fraction <= 0.5 else 0.2

    at, spent = world(loss, noise=0.02)
    found = search(at, grid(0.1), 0.005, HowMuchConfig(step=0.1, first_seeds=3, most_seeds=8))
    seeds = {}
    for fraction, count in spent:
        seeds.setdefault(fraction, []).append(count)
    assert seeds[0.5] == [3, 5, 8]  # 0.4 points lost of 0.5 allowed: undecided to the end
    undecided = next(look for look in found["looks"] if look["fraction"] == 0.5)
    assert undecided["shown"] == "undecided"
    assert found["fraction"] < 0.5


def texts(rise, noise: float = 0.0, rows: int = ROWS):
    """Looks at a world of completions of 1 to 30 tokens: pruning a fraction raises the loss of a token by rise(fraction)."""
    rng = np.random.default_rng(0)
    size = rng.integers(1, 31, rows).astype(float)

    def at(fraction: float, seeds: int) -> Look:
        def losses(more: float) -> Outcomes:
            values = -(1.0 + more + noise * rng.standard_normal((seeds, rows))) * size
            return Outcomes(values, size, of_texts=True)

        keys = [f"{place} {seed}" for place in ("full", fraction) for seed in range(seeds)]
        both = losses(rise(fraction)), losses(0.0)
        return Look(fraction, target(TRAINED, fraction), TRAINED, *both, tuple(keys), 0)

    return at


def test_completions_are_searched_by_their_loss_per_token():
    """The share is the last one before the loss of a token, not of a row, rises by the margin."""
    found = search(texts(lambda share: 0.05 * share, noise=0.02), grid(0.1), 0.02, HowMuchConfig(step=0.1))
    assert found["fraction"] in (0.3, 0.4)
    assert found["low"] <= 0.4 <= found["high"] and found["estimate"] == pytest.approx(0.4, abs=0.02)
    chosen = next(look for look in found["looks"] if look["fraction"] == found["fraction"])
    assert chosen["mean"] == pytest.approx(-0.05 * found["fraction"], abs=1e-3) and chosen["low"] > -0.02
    told = sentence(
        found | {"metric": "loss", "margin": 0.02, "folds": 0, "same_steps": False, "confirmed": None}
    )
    assert "at a margin of 0.02 nats per completion token: +0.0" in told
    assert "nats of loss to all rows on 2,000 validation rows" in told
    assert "points" not in told and "accuracy" not in told


def test_no_share_of_completions_is_shown_if_every_share_raises_the_loss():
    found = search(texts(lambda share: 0.3), grid(0.25), 0.02, HowMuchConfig(step=0.25))
    told = sentence(
        found | {"metric": "loss", "margin": 0.02, "folds": 0, "same_steps": False, "confirmed": None}
    )
    assert found["fraction"] == 0 and told.startswith("No share of the rows is shown to be free")
    assert "the loss on 2,000 validation rows changes by +0.300 [+0.300, +0.300] nats to all rows" in told


def test_no_share_is_shown_if_every_share_costs_accuracy():
    at, _ = world(lambda fraction: 0.1)
    found = search(at, grid(0.25), 0.005, HowMuchConfig(step=0.25)) | {
        "margin": 0.5,
        "folds": 0,
        "same_steps": False,
        "confirmed": None,
    }
    assert found["fraction"] == 0
    assert "No share" in sentence(found)


def test_the_answer_has_its_interval_its_cost_and_the_one_look_at_the_test_rows():
    at, _ = world(lambda fraction: 0.0 if fraction < 0.5 else 0.1 * (fraction - 0.5), noise=0.01, rows=8000)
    found = search(at, grid(0.1), 0.005, HowMuchConfig(step=0.1)) | {
        "margin": 0.5,
        "folds": 0,
        "same_steps": True,
    }
    assert found["low"] <= found["estimate"] <= found["high"]
    chosen = next(look for look in found["looks"] if look["fraction"] == found["fraction"])
    assert chosen["low"] > -0.005
    found["confirmed"] = {**chosen, "n_test": 123, "shown": "not worse"}
    told = sentence(found)
    alone = sentence(found | {"confirmed": None})
    assert alone.endswith(
        "The intervals allow for every look of the search; it is not confirmed on other rows."
    )
    for part in (
        f"{100 * found['fraction']:g}% of the rows can be dropped (prune {found['fraction']:g}) at",
        "8,000 validation rows",
        f"{found['trainings']} trainings of the same steps",
        "On the 123 test rows, which took no part in the search, without",
        "(confirmed)",
    ):
        assert part in told


def test_a_loss_that_never_crosses_the_margin_is_not_reported_to_cross_it_at_the_last_look():
    at, _ = world(lambda fraction: 0.0)
    looks = [at(fraction, 4) for fraction in (0.25, 0.5, 0.75)]
    assert crossing_interval(looks, 0.005) == [None, None, None]
    found = search(at, grid(0.25), 0.005, HowMuchConfig(step=0.25)) | {
        "margin": 0.5,
        "folds": 0,
        "same_steps": True,
    }
    assert found["fraction"] == 0.75 and found["estimate"] is None
    assert "at more than 75% [more than 75%, more than 75%]" in sentence(found)


def test_the_crossing_of_a_falling_line_is_where_it_is():
    fractions = np.array([0.2, 0.4, 0.6, 0.8])
    assert crossing(fractions, -0.01 * fractions, np.ones(4), 0.005) == pytest.approx(0.5)
    assert crossing(fractions, np.zeros(4), np.ones(4), 0.005) == math.inf
    assert crossing(fractions, np.full(4, -1.0), np.ones(4), 0.005) == pytest.approx(0.001)
    # A bump is smoothed away: pooled with what is beside it.
    assert crossing([0.2, 0.4, 0.6], [-0.006, 0.004, -0.02], [1, 1, 1], 0.005) == pytest.approx(
        0.4 + 0.2 * 0.004 / 0.019, abs=1e-4
    )


def test_more_test_rows_make_the_interval_of_the_crossing_narrower():
    def width(rows: int) -> float:
        at, _ = world(lambda fraction: 0.1 * fraction, noise=0.02, rows=rows)
        low, high = crossing_interval([at(fraction, 4) for fraction in (0.2, 0.4, 0.6, 0.8)], 0.04)[1:]
        return high - low

    assert width(20_000) < 0.6 * width(500)


def table(rows: int = TRAINED) -> pl.DataFrame:
    """A table of scores: four classes, and every 40 rows of 100 protected where that is asked for."""
    number = np.arange(rows)
    return pl.DataFrame(
        {
            "id": number.astype(str),
            "label": (number % 4).astype(str),
            "kind": np.where(number % 100 < 40, "safe", "free"),
            "el2n": np.random.default_rng(0).random(rows),
        }
    )


def arm(**request) -> Arm:
    return Arm("el2n", "high", "easy", "cutoff", {}, request)


@pytest.mark.parametrize(
    "request_",
    [
        {"protect": ["kind=safe"]},
        {"floor": 100, "floor_group": ("label",)},
        {"floor": 90, "floor_group": ("label", "kind"), "protect": ["kind=safe"]},
    ],
)
def test_the_grid_ends_where_floors_and_protection_take_over(request_):
    scores, chosen = table(), arm(**request_)
    found = shares(chosen, scores, 0.05)
    counts = [int(kept_by(chosen, scores, fraction, 0).sum()) for fraction in found]
    assert counts == sorted(set(counts), reverse=True) and counts[0] < TRAINED
    assert counts[-1] == kept_by(chosen, scores, 0.95, 0).sum() > target(TRAINED, 0.95)
    assert found == grid(0.05)[: len(found)]


@given(st.integers(2, 60), st.sampled_from([0.005, 0.05, 0.3]))
def test_a_multiple_that_drops_no_further_row_is_not_tried(rows, step):
    kept = [target(rows, fraction) for fraction in grid(step)]
    try:
        found = shares(arm(), table(rows), step)
    except UserError:
        assert not {count for count in kept if 0 < count < rows}
    else:
        assert [target(rows, fraction) for fraction in found] == sorted(
            {count for count in kept if 0 < count < rows}, reverse=True
        )


def test_if_nothing_can_be_dropped_one_line_says_so(recwarn):
    for nothing in (arm(floor=TRAINED, floor_group=("label",)), arm(protect=["kind=safe", "kind=free"])):
        with pytest.raises(UserError, match=r"no multiple of 0\.05 takes some of 1,000 rows away") as refused:
            shares(nothing, table(), 0.05)
        assert "\n" not in str(refused.value)
    assert not recwarn.list


def test_the_reported_share_is_the_one_that_is_dropped():
    at, _ = world(lambda fraction: 0.0, held=575)
    found = search(at, [0.1, 0.2, 0.3, 0.4, 0.45], 0.005, HowMuchConfig()) | {
        "margin": 0.5,
        "folds": 0,
        "same_steps": True,
    }
    assert (found["fraction"], found["removed"]) == (0.45, 0.425)
    assert [look["n_kept"] for look in found["looks"]] == [700, 600, 575]
    assert sentence(found).startswith(
        "42.5% of the rows can be dropped (prune 0.45; floors and protected rows keep the others) at a margin of 0.5 points:"
    )
    assert "at more than 42.5% [more than 42.5%, more than 42.5%]" in sentence(found)


def test_the_crossing_of_the_margin_is_a_share_that_is_dropped():
    at, _ = world(lambda fraction: 0.04 if fraction > 0.4 else 0.0, held=575)
    assert crossing_interval([at(0.4, 4), at(0.45, 4)], 0.02)[0] == pytest.approx(0.4 + 0.025 / 2)


@pytest.mark.parametrize(("fraction", "told"), [(0.005, "0.5%"), (0.375, "37.5%")])
def test_shares_are_reported_as_finely_as_they_are_tried(fraction, told):
    at, _ = world(lambda fraction: 0.0)
    found = search(at, [fraction], 0.005, HowMuchConfig()) | {"margin": 0.5, "folds": 0, "same_steps": True}
    assert sentence(found).startswith(f"{told} of the rows can be dropped (prune {fraction:g}) at")
    assert f"more than {told} [more than {told}, more than {told}]" in sentence(found)
    at, _ = world(lambda fraction: 0.1)
    found = search(at, [fraction], 0.005, HowMuchConfig()) | {"margin": 0.5, "folds": 0, "same_steps": True}
    assert f"without {told} accuracy" in sentence(found)
