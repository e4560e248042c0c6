"""The search by heads: the share that is there, few trainings, and no more wrong answers than it may give."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from thresher.config import HowMuchConfig
from thresher.experiments import head_search
from thresher.experiments.bisection import bisected
from thresher.experiments.cross_fit import Fitted
from thresher.experiments.head_search import look, search_folds
from thresher.experiments.share_sentence import sentence

FOLDS, ROWS = 5, 12_000
GRID = [round(0.05 * i, 2) for i in range(1, 20)]


@pytest.fixture(scope="module", autouse=True)
def few_resamples():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_search, "BOOTSTRAP", 40)
        yield


def world(loss: Callable[[float], float], seed: int = 0, training: float = 0.0005, rows: int = ROWS) -> Any:
    """Heads in a world where pruning a share costs loss(share) of accuracy, from 0.9: the rows that are lost come from all
    folds alike, answers flip by chance in 1 of 100, and every training is better or worse by `training`."""
    spent: list[tuple[float | None, int]] = []
    hard = np.random.default_rng(seed).random((FOLDS, rows // FOLDS))

    def at(share: float | None, seeds: int) -> Fitted:
        spent.append((share, seeds))
        right = []
        for fold in range(FOLDS):
            # Of ten trainings, so that those of a look are the first of the next.
            rng = np.random.default_rng((seed, fold, round(100 * (share or 0))))
            less = loss(share or 0) + training * rng.normal(size=10)
            noise = rng.random((10, rows // FOLDS), np.float32) < 0.01
            right.append(((hard[fold] < 0.9 - less[:, None]) ^ noise)[:seeds])
        keys = tuple(f"{share} {fold} {number}" for fold in range(FOLDS) for number in range(seeds))
        return Fitted(right, keys, round(rows * (1 - (share or 0))), rows)

    return at, spent


def told(found: dict[str, Any]) -> str:
    return sentence(found | {"margin": 0.5, "folds": FOLDS, "same_steps": False})


def test_it_finds_the_last_share_before_the_loss_with_few_heads() -> None:
    at, spent = world(lambda share: 0.0 if share <= 0.6 else 0.03)
    found = search_folds(at, GRID, HowMuchConfig())
    assert found["fraction"] == found["candidate"] == 0.6
    assert found["n_validation"] == ROWS
    assert found["low"] <= found["estimate"] <= found["high"] and 0.6 <= found["estimate"] <= 0.65
    assert {share for share, _ in spent} == {None, *(one["fraction"] for one in found["looks"])}
    assert len(found["looks"]) <= 5
    assert "60% of the rows can be dropped (prune 0.6) at a margin of 0.5 points" in told(found)
    assert "12,000 training rows, each tested by heads that had not seen it (5 folds)" in told(found)


def test_seeds_are_spent_where_the_loss_is() -> None:
    at, _ = world(lambda share: 0.0 if share <= 0.5 else 0.0042 if share <= 0.6 else 0.03)
    found = search_folds(at, GRID, HowMuchConfig())
    seeds = {one["fraction"]: one["seeds"] for one in found["looks"]}
    assert seeds[0.5] == 3 and seeds[0.75] == 3
    assert seeds[0.6] > 3
    assert found["fraction"] >= 0.5
    # What seems to lose less than the margin is a candidate, shown or not.
    assert found["candidate"] == 0.6


def test_seeds_that_cannot_help_are_not_spent() -> None:
    at, spent = world(lambda share: 0.0, rows=100)
    found = search_folds(at, GRID, HowMuchConfig())
    assert {seeds for _, seeds in spent} == {3}
    assert found["fraction"] == 0
    assert told(found).startswith(
        "No share of the rows is shown to be free at a margin of 0.5 points: without 5%"
    )


def test_every_share_that_loses_just_the_margin_is_called_free_in_one_search_of_forty_at_most() -> None:
    wrong, runs = 0, 120
    for run in range(runs):
        at, _ = world(
            lambda share: 0.005 if share else 0.0, seed=run, training=(0.0, 0.001, 0.004)[run % 3], rows=2000
        )
        found, _ = bisected(partial(look, at), GRID[4::5], 0.005, HowMuchConfig())
        wrong += found["fraction"] > 0
    assert wrong / runs <= 0.025 + 2 * np.sqrt(0.025 * 0.975 / runs)
