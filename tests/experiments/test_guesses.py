"""Guesses that are read block by block: those of the whole table; noise that is fitted on a part of the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from bare_run import bare_run
from thresher.experiments import guesses as module
from thresher.experiments.guesses import guesses_of, mean_probabilities, probabilities_of
from thresher.experiments.label_errors import early_probabilities, fitted_noise, noise_chances, skill
from thresher.row_hash import hash_ids
from thresher.run import Run, Training
from thresher.run.integrity import write_table
from thresher.signals.measure import read_signals
from thresher.signals.plan import Plan, write_part, write_plan

ROWS, CLASSES = 230, 3


def measured(folder: Path) -> Run:
    """Two trainings whose models know most of the labels."""
    run = bare_run(folder, n_rows=ROWS, classes=("a", "b", "c"))
    rng = np.random.default_rng(0)
    label = rng.integers(0, CLASSES, ROWS)
    truth = np.where(rng.random(ROWS) < 0.1, (label + 1) % CLASSES, label)
    for index in range(2):
        logits = rng.normal(size=(ROWS, 4, CLASSES)).astype(np.float32)
        logits[np.arange(ROWS), :, truth] += 3
        plan = Plan(run, Training("run", index), ROWS, 40, 1024, "float32", (), "made")
        table = pl.DataFrame({"id": [f"r{at}" for at in range(ROWS)], "label": label.astype(np.int32)})
        table = table.with_columns(logits=logits)
        for chunk in range(plan.chunks):
            first, count = plan.rows_of(chunk)
            write_part(plan, chunk, table[first : first + count])
        checkpoints = pl.DataFrame({"index": range(4), "epoch": [1.0, 2.0, 3.0, 4.0]})
        write_table(plan.folder / "checkpoints.parquet", checkpoints)
        write_plan(plan, None)
    return run


def test_blocks_give_what_the_whole_table_gives(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", 64)
    run = measured(tmp_path)
    runs = [read_signals(run, Training("run", index)) for index in range(2)]
    probabilities, early = mean_probabilities([one for one, _ in runs]), early_probabilities(runs)
    found = guesses_of(run)
    rows = np.arange(ROWS)
    assert found.ids.to_list() == runs[0][0]["id"].to_list()
    assert found.guess.likely.tolist() == probabilities.argmax(1).tolist()
    np.testing.assert_array_equal(found.guess.p_likely, probabilities.max(1))
    np.testing.assert_array_equal(found.guess.p_given, probabilities[rows, found.label])
    assert found.learned == skill(found.label, early) and found.learned.enough
    expected = noise_chances(fitted_noise(found.label, early), found.label, early)
    np.testing.assert_allclose(found.chances, expected, rtol=1e-12)
    np.testing.assert_array_equal(probabilities_of(run), probabilities)


def test_of_many_rows_some_tell_the_noise_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "BLOCK_ROWS", 64)
    run = measured(tmp_path)
    everything = guesses_of(run)
    monkeypatch.setattr(module, "SAMPLE", 120)
    found = guesses_of(run)
    early = early_probabilities([read_signals(run, Training("run", index)) for index in range(2)])
    among = np.argsort(hash_ids(found.ids), kind="stable")[:120]
    noise = fitted_noise(found.label[np.sort(among)], early[np.sort(among)])
    np.testing.assert_allclose(found.chances, noise_chances(noise, found.label, early), rtol=1e-9)
    assert found.chances.sum() == pytest.approx(everything.chances.sum(), rel=0.3)
    assert 0 < noise.rate < 0.3


def test_chances_are_those_of_the_likelihood_written_out():
    rng = np.random.default_rng(1)
    p = rng.dirichlet(np.ones(4), 50)
    label = rng.integers(0, 4, 50)
    noise = module.Noise(0.2, 1.7)
    for row, chance in enumerate(noise_chances(noise, label, p)):
        s = softmax(np.log(p[row]) / 1.7)[label[row]]
        wrong = 0.2 * (1 - s) / 3
        assert chance == pytest.approx(wrong / (0.8 * s + wrong))
