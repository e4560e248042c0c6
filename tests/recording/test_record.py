"""Recording any training loop: the signals are those of its logits, whatever rows are called and whoever runs the loop."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import thresher as th
import tiny_trainers as make
from thresher.recording import store

EXAMPLES = Path(__file__).parents[2] / "examples"
IDS = ["x7", "x1", "x4", "x2", "x9"]


def steps(
    rows: int = 5, epochs: int = 3, classes: int = 3
) -> list[tuple[int, list[int], torch.Tensor, list[int]]]:
    """(epoch, numbers, logits, labels) of each step, two rows at a time in another order every epoch."""
    random = np.random.default_rng(0)
    labels, made = random.integers(0, classes, rows), []
    for epoch in range(epochs):
        order = random.permutation(rows)
        for start in range(0, rows, 2):
            some = order[start : start + 2]
            logits = torch.from_numpy(random.normal(size=(len(some), classes))).float()
            made.append((epoch, some.tolist(), logits, labels[some].tolist()))
    return made


def expected(made: list[Any], row: int) -> dict[str, list[float]]:
    """By hand, of one row."""
    found: dict[str, list[float]] = {"loss": [], "error_norm": [], "correct": []}
    for _, some, logits, labels in made:
        for number, values, label in zip(some, logits.double().numpy(), labels, strict=True):
            if number == row:
                p = np.exp(values) / np.exp(values).sum()
                found["loss"].append(-np.log(p[label]))
                found["error_norm"].append(np.linalg.norm(p - np.eye(3)[label]))
                found["correct"].append(bool(values.argmax() == label))
    return found


@pytest.mark.parametrize("called", ["numbers", "ids of all", "ids as they come", "integers that are ids"])
def test_the_signals_are_those_of_the_logits_by_the_ids_of_the_user(called, tmp_path):
    made = steps()
    names: dict[str, list[Any]] = {
        "numbers": list(range(5)),
        "ids of all": IDS,
        "ids as they come": IDS,
        "integers that are ids": [10**12 + n for n in (3, 1, 2, 5, 4)],
    }
    ids = None if called in ("numbers", "ids as they come") else names[called]
    with th.record(tmp_path / "run", ids=ids, classes=["no", "yes", "so"]) as recorder:
        for epoch, some, logits, labels in made:
            recorder.note([names[called][row] for row in some], logits, labels, epoch)
    signals, checkpoints = make.signals_of(tmp_path / "run")
    assert checkpoints["epoch"].to_list() == [0.5, 1.5, 2.5]
    assert sorted(signals["id"]) == sorted(map(str, names[called]))
    for row in range(5):
        line = signals.row(by_predicate=pl.col("id") == str(names[called][row]), named=True)
        by_hand = expected(made, row)
        assert line["correct"] == by_hand["correct"]
        for name in ("loss", "error_norm"):
            np.testing.assert_allclose(line[name], by_hand[name], rtol=1e-5)


def test_scores_selection_and_report_come_from_it(tmp_path):
    texts = make.texts(20)
    with th.record(tmp_path / "run", text=texts, classes=["no", "yes", "so"]) as recorder:
        for epoch, some, logits, labels in steps(rows=20):
            recorder.note(torch.tensor(some), logits, torch.tensor(labels), epoch)
    run = tmp_path / "run"
    scores = th.score(run)
    assert {"el2n", "forgetting", "aum", "confidence", "loss"} <= set(scores.columns)
    assert not {"vog_online", "grand", "tracin"} & set(scores.columns)
    selection = th.select(run, prune=0.5)
    # AUM and correctness come from logits, so the recommended rule can read them.
    assert th.Run.open(run).require("select").facts["column"] == "aum+correctness"
    kept = pl.read_parquet(run / "kept.parquet")
    assert kept["index"].to_list() == np.flatnonzero(selection["kept"]).tolist()
    assert kept["text"].to_list() == [texts[row] for row in kept["index"]]
    assert "training loop" in th.report(run).read_text(encoding="utf-8")


def test_a_label_per_token_and_rows_without_a_label(tmp_path):
    logits, labels = (
        torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)),
        torch.tensor([[0, 2, -100, -100], [1, -100, 1, 2]]),
    )
    with th.record(tmp_path / "tokens") as recorder:
        recorder.note([0, 1], logits, labels, 0)
    signals, _ = make.signals_of(tmp_path / "tokens")
    for row in range(2):
        true = labels[row] >= 0
        loss = torch.nn.functional.cross_entropy(logits[row][true], labels[row][true])
        assert signals["loss"][row].to_list() == pytest.approx([loss.item()], rel=1e-5)
    with th.record(tmp_path / "partly") as recorder:
        recorder.note([0, 1, 2], logits[0, :3], [1, -1, 2], 0)
    assert make.signals_of(tmp_path / "partly")[0]["id"].to_list() == ["0", "2"]


TWO = torch.zeros(2, 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (([0, 1], TWO, [0, 1, 2], 0), r"logits \(2, 3\) for labels \(3,\)"),
        (([0], TWO, [0, 1], 0), "logits of 2 rows for a batch of 1"),
        (([0, 1], TWO[:, :1], [0.5, 0.1], 0), "a regression"),
        (([0, 1], TWO, [0, 3], 0), "label 3 for logits of 3 classes"),
        (([-1, 1], TWO, [0, 1], 0), "give the ids of all rows"),
        (([0, 1], torch.zeros(2, 1, 3), [[0], [3]], 0), "label 3 for logits of 3 classes"),
    ],
)
def test_a_first_step_that_does_not_fit_is_refused_and_a_later_one_ends_no_training(
    given, said, tmp_path, capsys
):
    recorder = th.record(tmp_path / "run")
    with pytest.raises(th.UserError, match=said):
        recorder.note(*given)
    recorder.note([0, 1], TWO, [0, 1], 0)
    recorder.note(*given)
    recorder.note([0, 1], TWO, [0, 1], 1)
    assert capsys.readouterr().err.count("recording failed at step 1") == 1
    recorder.finish()
    assert make.signals_of(tmp_path / "run")[0]["correct"].list.len().to_list() == [1, 1]
    with pytest.raises(th.UserError, match="is finished"):
        recorder.note([0, 1], TWO, [0, 1], 1)


def test_wrong_ids_texts_and_folders_are_refused(tmp_path):
    with pytest.raises(th.UserError, match="1 of 3 ids occur more than once"):
        th.record(tmp_path / "run", ids=["a", "b", "a"])
    with pytest.raises(th.UserError, match="an empty path"):
        th.record("")
    with pytest.raises(th.UserError, match="2 texts for 3 ids"):
        th.record(tmp_path / "run", ids=["a", "b", "c"], text=["x", "y"])
    with pytest.raises(th.UserError, match="row 'd' is not one of the 3 ids"):
        th.record(tmp_path / "run", ids=["a", "b", "c"]).note(["a", "d"], TWO, [0, 1], 0)
    (tmp_path / "file").write_text("")
    with pytest.raises(th.UserError, match="file"):
        th.record(tmp_path / "file" / "run")
    with th.record(tmp_path / "run") as recorder:
        recorder.note([0, 1], TWO, [0, 1], 0)
    with pytest.raises(th.UserError, match="holds a run already"):
        th.record(tmp_path / "run")


def test_a_full_disk_ends_no_training_and_finish_can_be_called_again(tmp_path, monkeypatch, capsys):
    def full(*args: Any) -> None:
        raise OSError(28, "No space left on device")

    recorder = th.record(tmp_path / "run")
    monkeypatch.setattr(store, "write_records", full)
    for epoch in range(3):
        recorder.note([0, 1], TWO, [0, 1], epoch)
    assert capsys.readouterr().err.count("cannot be written now") == 1
    with pytest.raises(OSError, match="No space left"):
        recorder.finish()
    monkeypatch.undo()
    recorder.finish()
    assert make.signals_of(tmp_path / "run")[0]["correct"].list.len().to_list() == [3, 3]


def test_a_recording_after_a_crash_says_that_it_starts_anew(tmp_path, capsys):
    crashed = th.record(tmp_path / "run")
    crashed.note([0, 1], TWO, [0, 1], 0)
    crashed.note([0, 1], TWO, [0, 1], 1)
    assert capsys.readouterr().err == ""
    with th.record(tmp_path / "run") as recorder:
        recorder.note([0, 1], TWO, [0, 1], 0)
    assert capsys.readouterr().err.count("holds a recording that was not finished; it is removed") == 1
    assert make.signals_of(tmp_path / "run")[0]["correct"].list.len().to_list() == [1, 1]


def test_an_exception_in_the_loop_leaves_no_run_and_passes_through(tmp_path):
    with pytest.raises(KeyboardInterrupt), th.record(tmp_path / "run") as recorder:
        recorder.note([0, 1], TWO, [0, 1], 0)
        raise KeyboardInterrupt
    assert not (tmp_path / "run" / "run.yaml").exists()
    recorder.finish()
    assert th.score(tmp_path / "run").height == 2


@pytest.mark.parametrize("example", ["plain_loop", "accelerate_loop", "lightning_callback"])
def test_the_examples_record_their_loop(example, tmp_path, monkeypatch):
    if example == "lightning_callback":
        pytest.importorskip("lightning")
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(EXAMPLES / f"{example}.py"), run_name="__main__")
    signals, checkpoints = make.signals_of(tmp_path / "RUN")
    assert (signals.height, checkpoints.height) == (60, 3)
    assert set(signals["correct"].list.len()) == {3}
    assert (tmp_path / "RUN" / "kept.parquet").is_file()
