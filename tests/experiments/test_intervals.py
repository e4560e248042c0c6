"""The interval of a difference: textbook special cases, and coverage in simulations."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import f1_score

from thresher.experiments.intervals import paired_interval
from thresher.experiments.metrics import accuracy, macro_f1


def bounds(found) -> list[float]:
    return [found["low"], found["mean"], found["high"]]


def as_predictions(right: np.ndarray, truth: np.ndarray, classes: int) -> np.ndarray:
    """The true class where right, the class after it elsewhere."""
    return np.where(right, truth, (truth + 1) % classes)


def random_answers(
    seed: int, seeds: int, rows: int, classes: int = 4
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(classes, size=rows)
    right = rng.random((2, seeds, rows)) < rng.random(rows)
    return as_predictions(right[0], truth, classes), as_predictions(right[1], truth, classes), truth


def test_one_seed_gives_the_paired_t_interval_over_the_test_rows():
    a, b, truth = random_answers(0, 1, 300)
    expected = stats.ttest_rel((a[0] == truth).astype(float), (b[0] == truth).astype(float))
    found = paired_interval(a, b, truth)
    low, high = expected.confidence_interval(0.95)
    assert bounds(found) == pytest.approx([low, (a == truth).mean() - (b == truth).mean(), high])
    assert (found["seeds"], found["rows"], found["df"]) == (1, 300, 299)


def test_rows_that_all_agree_give_the_paired_t_interval_over_the_seeds():
    truth = np.zeros(100_000, dtype=int)
    right = np.array([[1, 1, 0, 1], [0, 1, 0, 0]])[:, :, None].repeat(len(truth), axis=2)
    found = paired_interval(1 - right[0], 1 - right[1], truth, confidence=0.9)
    low, high = stats.ttest_1samp([1, 0, 0, 1], 0).confidence_interval(0.9)
    assert bounds(found) == pytest.approx([low, 0.5, min(high, 1.0)])
    assert found["df"] == pytest.approx(3)


@given(st.integers(0, 10_000), st.integers(2, 6), st.integers(2, 40))
def test_the_parts_and_the_degrees_of_freedom_are_those_of_the_formula(seed, seeds, rows):
    a, b, truth = random_answers(seed, seeds, rows)
    by_seed = [accuracy(truth, a[s]) - accuracy(truth, b[s]) for s in range(seeds)]
    by_row = [
        sum(int(a[s, i] == truth[i]) - int(b[s, i] == truth[i]) for s in range(seeds)) / seeds
        for i in range(rows)
    ]
    seed_part = np.var(by_seed, ddof=1) / seeds
    row_part = max(np.var(by_row, ddof=1) / rows, min(4 / rows**2, 1))
    found = paired_interval(a, b, truth)
    assert found["se"] == pytest.approx(np.sqrt(seed_part + row_part))
    if seed_part + row_part > 1e-12:
        df = (seed_part + row_part) ** 2 / (seed_part**2 / (seeds - 1) + row_part**2 / (rows - 1))
        half = stats.t.ppf(0.975, df) * found["se"]
        mean = np.mean(by_seed)
        assert bounds(found) == pytest.approx([max(mean - half, -1), mean, min(mean + half, 1)])


@pytest.mark.parametrize("metric", [accuracy, macro_f1])
def test_swapped_arms_mirror_the_interval(metric):
    a, b, truth = random_answers(1, 3, 60)
    forth, back = paired_interval(a, b, truth, metric), paired_interval(b, a, truth, metric)
    assert bounds(forth) == pytest.approx([-x for x in reversed(bounds(back))])


@pytest.mark.parametrize("metric", [accuracy, macro_f1, lambda t, p: 0.5])
def test_two_arms_that_never_differ_have_an_interval_of_some_width(metric):
    a, _, truth = random_answers(2, 3, 60)
    found = paired_interval(a, a, truth, metric)
    half = stats.t.ppf(0.975, 59) * 2 / 60
    assert [*bounds(found), found["se"]] == pytest.approx([-half, 0.0, half, 2 / 60])
    assert half == pytest.approx(
        -np.log(0.025) / 60, rel=0.1
    )  # the rate at which none of 60 differs in 2.5% of cases


@pytest.mark.parametrize("rows", [5, 20, 50, 200])
def test_a_loss_that_few_rows_show_is_seldom_ruled_out(rows):
    rng = np.random.default_rng(rows)
    missed = 0
    for _ in range(400):
        lost = rng.random(rows) < 0.02
        found = paired_interval(
            np.tile(lost, (3, 1)).astype(int), np.zeros((3, rows), int), np.zeros(rows, int)
        )
        missed += not found["low"] <= -0.02 <= found["high"]
    assert missed <= 400 * 0.05


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("metric", [accuracy, macro_f1])
def test_one_or_two_test_rows_give_no_conclusion(metric, rows):
    same = np.zeros((2, rows), int)
    found = paired_interval(same, same, same[0], metric)
    assert bounds(found) == [-1.0, 0.0, 1.0]


def test_more_confidence_is_wider():
    a, b, truth = random_answers(3, 3, 60)
    widths = [np.ptp(bounds(paired_interval(a, b, truth, confidence=c))) for c in (0.5, 0.9, 0.99)]
    assert widths == sorted(widths) and widths[0] < widths[1] < widths[2]


def test_macro_f1_is_resampled_exactly_as_any_other_metric():
    a, b, truth = random_answers(4, 2, 25, classes=6)

    def slowly(truth, prediction):
        return f1_score(truth, prediction, average="macro", zero_division=0)

    fast = paired_interval(a, b, truth, macro_f1, bootstrap=130, seed=9)
    assert fast == pytest.approx(paired_interval(a, b, truth, slowly, bootstrap=130, seed=9))


def test_the_closed_form_of_accuracy_is_what_a_bootstrap_finds():
    a, b, truth = random_answers(5, 3, 8)
    closed = paired_interval(a, b, truth)
    bootstrapped = paired_interval(a, b, truth, lambda t, p: accuracy(t, p), bootstrap=4000)
    assert bootstrapped["se"] == pytest.approx(closed["se"], rel=0.04)


def test_the_seed_decides_the_bootstrap():
    a, b, truth = random_answers(6, 2, 80)
    found = [paired_interval(a, b, truth, macro_f1, bootstrap=150, seed=seed)["se"] for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]


def test_macro_f1_of_150_classes_is_quick():
    a, b, truth = random_answers(7, 5, 4500, classes=150)
    started = time.process_time()
    paired_interval(a, b, truth, macro_f1, bootstrap=1000)
    assert time.process_time() - started < 3


@pytest.mark.parametrize(
    ("a", "b", "truth"),
    [
        ((3, 5), (3, 4), (5,)),
        ((3, 5), (2, 5), (5,)),
        ((3, 5), (3, 5), (4,)),
        ((5,), (5,), (5,)),
        ((2, 0), (2, 0), (0,)),
    ],
)
def test_shapes_that_do_not_agree_are_refused(a, b, truth):
    with pytest.raises(ValueError, match=r"not \(S, n\), \(S, n\), \(n,\)"):
        paired_interval(np.zeros(a, int), np.zeros(b, int), np.zeros(truth, int))


# Simulations. Test rows are redrawn each time, each with its own probability of being right in either arm; every
# training shifts that chance by its own amount. The true difference is the mean over all rows and trainings.
WORLDS = {
    "nothing but chance": {"row": 0.0, "training": 0.0, "gain": 0.0},
    "rows differ": {"row": 0.55, "training": 0.0, "gain": 0.03},
    "trainings differ": {"row": 0.05, "training": 0.04, "gain": 0.03},
    "both differ": {"row": 0.25, "training": 0.02, "gain": -0.02},
}


def simulate(world: dict[str, float], seeds: int, rows: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Which rows are right in arm a and arm b, (S, n) each; their expected difference is the world's gain."""
    chance = np.full(rows, 0.7)
    gain = world["gain"] + world["row"] * rng.choice([-1.0, 1.0], rows)
    shift = world["training"] * rng.normal(size=(seeds, 1)) / 2
    return [rng.random((seeds, rows)) < chance + sign * gain / 2 + sign * shift for sign in (1, -1)]


def coverage(world: dict[str, float], seeds: int, rows: int, repeats: int) -> float:
    """How often the interval holds the true difference."""
    rng, truth, held = np.random.default_rng(seeds), np.zeros(rows, dtype=int), 0
    for _ in range(repeats):
        a, b = simulate(world, seeds, rows, rng)
        found = paired_interval(1 - a, 1 - b, truth)
        held += found["low"] <= world["gain"] <= found["high"]
    return held / repeats


ERROR = np.sqrt(0.95 * 0.05 / 1000)


@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_has_about_its_nominal_coverage_of_the_difference(world, seeds):
    found = coverage(WORLDS[world], seeds, rows=400, repeats=1000)
    assert found > 0.95 - 3 * ERROR
    # Where rows decide, it is about 95%; where their interaction with trainings does, the doubled term shows.
    assert found < (0.97 + 3 * ERROR if world == "rows differ" else 0.999)


@pytest.mark.parametrize(("seeds", "least"), [(2, 0.85), (3, 0.90), (5, 0.925)])
def test_trainings_that_vary_far_more_than_rows_reduce_the_coverage_a_little(seeds, least):
    assert (
        least < coverage({"row": 0.0, "training": 0.15, "gain": 0.03}, seeds, rows=400, repeats=1000) < 0.97
    )


def test_a_single_training_gives_too_narrow_an_interval_if_trainings_differ():
    assert coverage({"row": 0.05, "training": 0.15, "gain": 0.03}, seeds=1, rows=2000, repeats=400) < 0.5


def test_the_interval_of_macro_f1_covers_the_true_difference_too():
    rng = np.random.default_rng(11)
    world, classes, repeats, held = WORLDS["both differ"], 4, 250, 0

    def draw(seeds: int, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        truth = np.minimum(rng.geometric(0.5, rows) - 1, classes - 1)
        a, b = simulate(world, seeds, rows, rng)
        return as_predictions(a, truth, classes), as_predictions(b, truth, classes), truth

    a, b, truth = draw(200, 5_000)
    true = np.mean([macro_f1(truth, a[s]) - macro_f1(truth, b[s]) for s in range(200)])
    for _ in range(repeats):
        a, b, truth = draw(3, 300)
        found = paired_interval(a, b, truth, macro_f1, bootstrap=100)
        held += found["low"] <= true <= found["high"]
    assert 0.95 - 3 * np.sqrt(0.95 * 0.05 / repeats) < held / repeats < 0.997
