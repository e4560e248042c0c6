"""What a whole run decides: one share, at most one smaller one, and all rows where neither holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bare_run import bare_run
from thresher.config import CompareConfig, HowMuchConfig, SelectConfig
from thresher.experiments import decide as module
from thresher.experiments.decide import SAFE, TRIES, decision, next_share, searched
from thresher.experiments.decision import word_of
from thresher.experiments.how_much import Search
from thresher.experiments.intervals import paired_interval

SEARCH = Search(
    how_much=HowMuchConfig(),
    select=SelectConfig(strategy="recommended", prune="auto"),
    compare=CompareConfig(),
)
FOUND = {"candidate": 0.6, "fraction": 0.4, "sentence": "Heads can do without 60%."}


def proof(prune: float, word: str, mean: float = 0.0) -> dict[str, Any]:
    """A proof of dropping a share of 100 rows; points."""
    bounds = {"mean": mean / 100, "low": (mean - 0.4) / 100, "high": (mean + 0.4) / 100}
    counts = {"n_kept": round(100 * (1 - prune)), "n_rows": 100, "seeds": 3, "confidence": 0.95}
    return {
        "selection": f"by-{prune}",
        "prune": prune,
        **counts,
        "sentence": f"Told of {prune:.0%}.",
        "word": word,
        **bounds,
    }


def run_through(
    monkeypatch: pytest.MonkeyPatch, outcomes: dict[float, tuple[str, float]], found: dict[str, Any] = FOUND
):
    """The decision where the search finds `found`, and each share that is proved has a word and a change in points."""
    monkeypatch.setattr(module, "candidate", lambda run, search: found)
    monkeypatch.setattr(module, "tried", lambda run, search, share: proof(share, *outcomes[share]))
    return searched(bare_run(Path("R")), SEARCH)


def test_a_share_that_holds_on_the_model_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_through(monkeypatch, {0.6: ("drop", -0.05)})
    assert (found["word"], found["prune"], len(found["tried"])) == ("drop", 0.6, 1)
    assert found["sentence"] == "Told of 60%."


@pytest.mark.parametrize("word", ["do not drop", "undecided"])
def test_where_it_does_not_hold_the_next_smaller_share_is_proved(
    monkeypatch: pytest.MonkeyPatch, word: str
) -> None:
    # A straight line through -1.0 points at 60% reaches half of the margin, 0.25 points, at 15%.
    found = run_through(monkeypatch, {0.6: (word, -1.0), 0.15: ("probably safe", -0.1)})
    assert (found["word"], found["prune"]) == ("probably safe", 0.15)
    assert [one["prune"] for one in found["tried"]] == [0.6, 0.15]
    assert found["sentence"] == (
        "Told of 15%. Dropping 60% does not hold: accuracy changes by -1.00 points [-1.40, -0.60], with a margin of 0.5."
    )


def test_where_neither_holds_all_rows_are_kept_and_no_third_share_is_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = run_through(monkeypatch, {0.6: ("do not drop", -1.0), 0.15: ("do not drop", -0.9)})
    assert (found["word"], found["prune"], len(found["tried"])) == ("do not drop", 0.0, TRIES)
    assert found["sentence"].startswith("Do not drop any rows; the kept file has all of them. Told of 15%.")


def test_where_the_search_finds_nothing_nothing_is_proved(monkeypatch: pytest.MonkeyPatch) -> None:
    found = run_through(monkeypatch, {}, FOUND | {"candidate": 0.0})
    assert (found["word"], found["prune"], found["tried"]) == ("do not drop", 0.0, [])
    assert FOUND["sentence"] in found["sentence"]


def test_a_share_that_is_asked_for_is_selected_whatever_its_proof_says() -> None:
    found = decision([proof(0.45, "do not drop", -2.0)], SEARCH)
    assert (found["word"], found["prune"]) == ("do not drop", 0.45)


def test_the_next_share_is_at_most_half_and_on_the_grid() -> None:
    assert next_share(0.6, 0.0, 0.005, 0.05) == 0.3  # nothing was lost: undecided by chance alone
    assert next_share(0.6, 0.02, 0.005, 0.05) == 0.05
    assert next_share(0.6, 0.2, 0.005, 0.05) == 0.0


@pytest.mark.parametrize("loss", [0.005, 0.0])
def test_two_tries_are_wrong_in_at_most_one_of_twenty(loss: float) -> None:
    # Both shares lose just the margin, which may be called "drop" in 5%; or nothing, which may be called "do not drop" in 5%.
    rng = np.random.default_rng(7)
    rows, seeds, runs, wrong = 2000, 3, 300, 0
    for _ in range(runs):
        for _ in range(TRIES):
            base = rng.random((seeds, rows)) < 0.1
            # Of the rows, 3% are predicted anew, and as many of the right ones as make the loss are wrong.
            again = np.where(rng.random((seeds, rows)) < 0.03, rng.random((seeds, rows)) < 0.1, base)
            kept = again | (rng.random((seeds, rows)) < loss / 0.9)
            found = paired_interval(kept.astype(np.int32), base.astype(np.int32), np.zeros(rows, np.int64))
            word = word_of(found, 0.005)
            if word in SAFE:
                break
        wrong += word == ("drop" if loss else "do not drop")
    assert wrong / runs <= 0.05
