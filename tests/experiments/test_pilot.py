"""The pilot: scores of heads count as far as the model itself learns the rows in the steps that it gets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bare_run import CONFIG, bare_run
from thresher.config import ModelConfig, RunConfig, SelectConfig
from thresher.pipeline import pilot
from thresher.pipeline.pilot import with_trust

ASKED = SelectConfig(strategy="recommended", prune=0.7)


def trusted(
    monkeypatch: pytest.MonkeyPatch,
    share: float,
    asked: SelectConfig = ASKED,
    same_steps: bool = False,
    **changes: Any,
) -> tuple[SelectConfig, list[int]]:
    """The settings where the pilot learns a share of the rows, and the steps of the pilots that were trained."""
    steps: list[int] = []

    def learned(run: object, count: int) -> float:
        steps.append(count)
        return share

    monkeypatch.setattr(pilot, "learned", learned)
    run = bare_run(Path("R"), **{"source": "proxy", "n_rows": 1000} | changes)
    return with_trust(run, asked, same_steps), steps


@pytest.mark.parametrize(
    ("share", "trust"), [(0.5, 0.0), (0.7, 0.0), (0.75, 0.25), (0.8, 0.5), (0.9, None), (1.0, None)]
)
def test_trust_grows_with_what_the_pilot_learns(
    monkeypatch: pytest.MonkeyPatch, share: float, trust: float | None
) -> None:
    found, _ = trusted(monkeypatch, share)
    assert found.options == ({} if trust is None else {"trust": trust})


def test_it_takes_half_of_the_steps_of_the_kept_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    # 300 rows in batches of 32, 3 epochs: 30 steps; all 1,000 rows: 96.
    assert trusted(monkeypatch, 0.5)[1] == [15]
    assert trusted(monkeypatch, 0.5, same_steps=True)[1] == [48]


def test_a_short_pilot_does_where_it_has_learned_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 100,000 rows the kept 30,000 take 2,814 steps: 1,407 for the pilot, unless 500 are enough."""
    assert trusted(monkeypatch, 0.95, n_rows=100_000) == (ASKED, [500])
    found, steps = trusted(monkeypatch, 0.8, n_rows=100_000)
    assert (found.options, steps) == ({"trust": 0.5}, [500, 1407])


def test_no_pilot_is_trained_where_the_model_scores_its_rows_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = RunConfig(data=CONFIG.data, model=ModelConfig(freeze=True))
    given = ASKED.model_copy(update={"options": {"trust": 0.9}})
    for asked, changes in (
        (ASKED, {"source": "own"}),
        (ASKED, {"source": "recorded"}),
        (ASKED, {"config": frozen}),
        (SelectConfig(strategy="random", prune=0.7), {}),
        (given, {}),
        (ASKED.model_copy(update={"prune": 0.0}), {}),
    ):
        assert trusted(monkeypatch, 0.5, asked, **changes) == (asked, [])
