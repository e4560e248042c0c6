"""The comparison: how its numbers are computed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

import thresher as th
from bare_run import CONFIG, bare_run
from thresher.config import CompareConfig, ModelConfig, TrainConfig
from thresher.errors import UserError
from thresher.experiments.cell import cell_key
from thresher.experiments.compare import contrast, group_contrast, unseen_contrast
from thresher.experiments.wording import verdict
from thresher.rows import load
from thresher.run import Run
from thresher.run.run import Record


def rows_of(texts: list[str], labels: list[str], sources: list[str]):
    return load(
        pl.DataFrame({"text": texts, "label": labels, "source": sources}),
        text="text",
        label="label",
        groups=["source"],
    )


TRAIN = rows_of(
    ["a", "b", "c", "d", "e", "f"], ["x", "x", "y", "y", "y", "y"], ["s", "s", "s", "t", "t", "t"]
)
TEST = rows_of(["A ", "g", "h", "i"], ["x", "x", "y", "y"], ["s", "s", "t", "t"])
TRUTH = np.array([0, 0, 1, 1])
PREDICTED = {
    "full": np.array([[0, 0, 1, 1], [0, 0, 1, 0]]),
    "kept": np.array([[0, 1, 1, 1], [0, 1, 1, 0]]),
    "random": np.array([[1, 1, 1, 1], [1, 1, 1, 0]]),
}


def test_arms_hold_mean_and_sample_deviation_over_seeds():
    found = contrast(PREDICTED, TRUTH, bootstrap=100)["arms"]
    assert found["full"]["accuracy"]["values"] == [1.0, 0.75]
    assert found["full"]["accuracy"]["mean"] == 0.875
    assert found["full"]["accuracy"]["std"] == pytest.approx(np.sqrt(2) * 0.125)
    assert found["kept"]["accuracy"]["mean"] == 0.625


def test_differences_are_paired_and_signed_as_they_are_named():
    found = contrast(PREDICTED, TRUTH, bootstrap=100)["differences"]
    assert found["kept-full"]["accuracy"]["mean"] == pytest.approx(-0.25)
    assert found["kept-random"]["accuracy"]["mean"] == pytest.approx(0.25)
    assert found["random-full"]["accuracy"]["mean"] == pytest.approx(-0.5)
    for difference in found.values():
        assert (
            difference["accuracy"]["low"] <= difference["accuracy"]["mean"] <= difference["accuracy"]["high"]
        )


def test_groups_report_the_share_removed_and_its_effect():
    kept = np.array([True, False, True, True, True, False])
    found = group_contrast(TRAIN, TEST, kept, PREDICTED)
    assert set(found) == {"label", "source"}
    assert found["label"]["x"]["removed"] == 0.5
    assert found["source"]["t"]["removed"] == pytest.approx(1 / 3)
    assert (found["source"]["s"]["n_train"], found["source"]["s"]["n_test"]) == (3, 2)
    assert (found["source"]["s"]["full"], found["source"]["s"]["kept"]) == (1.0, 0.5)
    assert found["source"]["s"]["kept-full"]["mean"] == pytest.approx(-0.5)


def test_test_rows_whose_text_is_in_the_training_set_are_not_in_the_unseen_part():
    found = unseen_contrast(TRAIN, TEST, PREDICTED, 100)
    assert found is not None
    assert found["n_test"] == 3  # "A " is "a"
    assert found["arms"]["full"]["accuracy"]["values"] == [1.0, pytest.approx(2 / 3)]
    assert (
        unseen_contrast(TRAIN, TEST.__class__(**{**vars(TEST), "table": TEST.table[1:]}), PREDICTED, 100)
        is None
    )


def test_the_verdict_names_the_share_the_interval_and_random():
    entry = {
        "settings": {"n_kept": 55, "n_full": 100, "seeds": [0, 1]},
        "caution": "",
        **contrast(PREDICTED, TRUTH, 100),
    }
    sentence = verdict(entry)
    for part in ("45.0%", "62.50%", "87.50%", "-25.00 points [", "random"):
        assert part in sentence
    assert verdict({**entry, "caution": "Beware."}) == f"{sentence} Beware."


def test_the_key_of_a_cell_depends_on_everything_that_could_change_it_and_nothing_else(tmp_path):
    def with_train(**settings) -> Run:
        return bare_run(tmp_path, config=CONFIG.model_copy(update={"train": TrainConfig(**settings)}))

    cell = {"arm": "kept", "selection": "a", "seed": 1, "max_steps": None, "kept": "k", "rows": [0], "n": 1}
    run = bare_run(tmp_path)
    key = cell_key(run, cell)
    for same in ({"runs": 5}, {"folds": 2}, {"seed": 7}, {"workers": 2}):
        assert cell_key(with_train(**same), cell) == key
    assert cell_key(run, {**cell, "selection": "another name of the same rows"}) == key
    for changed in ({"seed": 2}, {"max_steps": 10}, {"kept": "other"}):
        assert cell_key(run, {**cell, **changed}) != key
    for part in ("rows_hash", "test_hash"):
        assert cell_key(bare_run(tmp_path, **{part: "other"}), cell) != key
    for other in ({"epochs": 4}, {"batch_size": 16}):
        assert cell_key(with_train(**other), cell) != key
    deeper = CONFIG.model_copy(update={"model": ModelConfig(name="other")})
    assert cell_key(bare_run(tmp_path, config=deeper), cell) != key


def asked(monkeypatch: pytest.MonkeyPatch, run: Run, done: dict[str, int] | None = None, **named: int):
    """The settings that `compare` is done with, where `done` are those of the one that is there."""
    record = Record("k", {}, done, "", 0.0, {}) if done else None
    monkeypatch.setattr(Run, "require", lambda self, step: record)
    monkeypatch.setattr(Run, "current", lambda self, step: record)
    seen = []

    def step(run: Run, settings: CompareConfig, *, force: bool) -> None:
        seen.append((settings.seeds, settings.most_seeds))
        raise UserError("stop")

    monkeypatch.setattr("thresher.experiments.compare.compare", step)
    with pytest.raises(UserError, match="stop"):
        th.compare(run, **named)
    return seen[0]


def test_compare_adds_no_seeds_unless_it_is_asked_to_or_a_run_has_added_some(monkeypatch, tmp_path):
    run = bare_run(tmp_path)
    assert asked(monkeypatch, run) == (3, 3)
    assert asked(monkeypatch, run, seeds=5) == (5, 5)
    assert asked(monkeypatch, run, most_seeds=8) == (3, 8)
    assert asked(monkeypatch, run, {"seeds": 3, "most_seeds": 10}) == (3, 10)
    assert asked(monkeypatch, run, {"seeds": 3, "most_seeds": 10}, seeds=5) == (5, 5)
    assert asked(monkeypatch, run, {"seeds": 3}) == (3, 3)  # by a version that added none
