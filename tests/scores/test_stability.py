"""Agreement of scores between runs, against scipy's pairwise correlation and means of simulated runs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from signals_tables import random_run, runs

from thresher.errors import UserError
from thresher.scores import scores, stability
from thresher.scores.stability import between, rank_correlations, runs_needed

Run = tuple[pl.DataFrame, pl.DataFrame]
GRADIENTS = [
    "gradient_gram",
    "gradient_std",
    "encoder_sq_norm",
    "classifier_sq_norm",
    "gradient_sq_mean",
    "gradient_mean_sq",
]


def several(count: int, rows: int = 40, *, only_first: tuple[str, ...] = ()) -> list[Run]:
    """Runs over the same rows, texts and features, the rows of each in another order."""
    first, checkpoints, _ = random_run(0, rows=rows)
    made: list[Run] = [(first, checkpoints)]
    for seed in range(1, count):
        signals, trained, _ = random_run(seed, rows=rows)
        of_rows = first["id", "label", "n_tokens", "truncated", "features"]
        signals = signals.drop(only_first).with_columns(of_rows.get_columns())
        made.append((signals.sample(fraction=1, shuffle=True, seed=seed), trained))
    return made


def test_correlations_are_those_of_scipy_on_the_scores_of_each_run():
    made = several(4)
    found = stability(made)["scores"]
    assert {"el2n", "pvi", "forgetting", "aum", "vog", "tracin"} <= set(found)
    for name, facts in found.items():
        by_run = [dict(zip(s["id"], scores()[name].function(s, trained), strict=True)) for s, trained in made]
        values = [[one[row] for row in made[0][0]["id"]] for one in by_run]
        pairs = [spearmanr(a, b).statistic for a, b in combinations(values, 2)]
        assert len(pairs) == 6 and facts["runs"] == 4
        assert facts["correlation"] == pytest.approx(np.mean(pairs), abs=1e-12)
        assert (facts["low"], facts["high"]) == pytest.approx((min(pairs), max(pairs)), abs=1e-12)
        least = next((k for k in range(1, 100_000) if brown(facts["correlation"], k) >= 0.9), None)
        assert facts["runs_needed"] == least


def brown(r: float, k: int) -> float:
    """Spearman-Brown: the reliability of a mean over k."""
    return k * r / (1 + (k - 1) * r) if r > 0 else 0.0


def test_what_has_no_correlation_between_runs_is_left_out_with_the_reason():
    found = stability(several(3, only_first=tuple(GRADIENTS)))
    for name in ("vog", "tracin", "grand", "vog_online"):
        assert found["left_out"][name] == "measured in one run only"
    for name in ("duplicates", "prototypicality", "word_margin"):
        assert found["left_out"][name] == "does not depend on a training"
    for name in ("ensemble", "d2"):
        assert found["left_out"][name] == "made from other scores"
    assert not set(found["left_out"]) & set(found["scores"])


def test_what_was_not_measured_is_not_named():
    runs = [(signals.drop("features", "word_margin"), trained) for signals, trained in several(3)]
    found = stability(runs)
    assert "aum" in found["scores"]
    assert not {"d2", "duplicates", "prototypicality", "word_margin"} & {*found["scores"], *found["left_out"]}


def test_runs_that_could_not_differ_and_scores_without_spread_get_no_correlation():
    signals, trained, _ = random_run(0)
    always = signals.with_columns(correct=pl.Series([[True] * 5] * signals.height))
    left_out = stability([(always, trained), (always, trained)])["left_out"]
    assert left_out["forgetting"] == "the same for every row of a run"
    assert left_out["el2n"] == "the same in every run"


def test_a_run_without_the_signals_or_a_diverged_one_gives_no_stability():
    made = several(3)
    made[1] = (made[1][0].drop("null_logits"), made[1][1])
    gram = made[2][0]["gradient_gram"].to_numpy().copy()
    gram[5] = np.nan
    made[2] = (made[2][0].with_columns(pl.Series("gradient_gram", gram)), made[2][1])
    found = stability(made)
    assert (found["scores"]["pvi"]["runs"], found["scores"]["el2n"]["runs"]) == (2, 3)
    assert "vog" not in found["scores"] and "vog" not in found["left_out"]


def test_options_reach_the_scores():
    made = several(2)
    assert stability(made, {"el2n": {"checkpoint": 0}})["scores"]["el2n"] == between(
        np.array(
            [
                dict(zip(s["id"], scores()["el2n"].function(s, c, checkpoint=0), strict=True))[row]
                for s, c in made
                for row in made[0][0]["id"]
            ]
        ).reshape(2, -1)
    )


@given(run=runs, seed=st.integers(0, 2**32 - 1), data=st.data())
def test_the_order_of_the_rows_changes_nothing(run, seed, data):
    signals, trained, _ = run
    other = random_run(seed, rows=signals.height, classes=5)
    both = [(signals, trained), (other[0].with_columns(signals["id"], signals["label"]), other[1])]
    order = data.draw(st.permutations(range(signals.height)))
    assert stability([(s[order], c) for s, c in both]) == stability(both)


@given(st.lists(st.lists(st.integers(0, 4), min_size=6, max_size=6), min_size=2, max_size=4))
def test_ties_share_their_mean_rank(values):
    table = np.array(values, dtype=float)
    table[:, 0], table[:, 1] = -1.0, 9.0  # no run without spread
    expected = [spearmanr(a, b).statistic for a, b in combinations(table, 2)]
    np.testing.assert_allclose(rank_correlations(table), expected, atol=1e-12)


@given(st.floats(1e-6, 1), st.floats(1e-6, 1))
def test_a_higher_correlation_never_needs_more_runs_and_the_number_suffices(a, b):
    low, high = sorted((a, b))
    some, fewer = runs_needed(low), runs_needed(high)
    assert some is not None and fewer is not None and some >= fewer >= 1
    assert brown(low, some) >= 0.9 - 1e-9
    assert some == 1 or brown(low, some - 1) < 0.9


@pytest.mark.parametrize("correlation", [0.0, -0.3, -1.0])
def test_no_number_of_runs_suffices_for_uncorrelated_runs(correlation):
    assert runs_needed(correlation) is None


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_means_over_the_needed_number_of_simulated_runs_correlate_at_09(noise):
    rng = np.random.default_rng(0)
    truth = rng.normal(size=20_000)

    def mean_of(k: int) -> np.ndarray:
        return np.mean([truth + noise * rng.normal(size=len(truth)) for _ in range(k)], axis=0)

    needed = between(np.stack([mean_of(1) for _ in range(4)]))["runs_needed"]
    assert spearmanr(mean_of(needed), mean_of(needed)).statistic == pytest.approx(0.9, abs=0.03)


def test_one_run_or_runs_of_different_rows_are_refused():
    made = several(2)
    with pytest.raises(UserError, match="train with --runs 2 or more"):
        stability(made[:1])
    with pytest.raises(
        UserError, match="signals of run 1 have other rows than those of run 0; measure again with --force"
    ):
        stability([made[0], (made[1][0].head(3), made[1][1])])
    with pytest.raises(UserError, match="unknown score 'el3n'"):
        stability(made, {"el3n": {}})
