"""Suspects of a recorded training: listed for a sequence classifier, refused in one line for a token classifier."""

from __future__ import annotations

from pathlib import Path

import pytest

import thresher as th
import tiny_trainers as make
from thresher.cli import main


def test_a_watched_token_classifier_has_no_suspects_and_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = make.trainer_of(
        make.token_model("bert"), make.token_rows("bert"), tmp_path / "t", num_train_epochs=1
    )
    run = th.watch(trainer, tmp_path / "run", vog=False)
    trainer.train()
    th.score(run)
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main(["suspects", str(run), "--out", str(tmp_path / "s.csv")])
    assert left.value.code == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "suspects needs the logits of every row, which this run does not have (a recorded token" in told
    assert not (tmp_path / "s.csv").exists()


def test_a_watched_sequence_classifier_has_suspects(tmp_path: Path) -> None:
    trainer = make.trainer_of(
        make.sequence_model("bert"), make.sequence_rows("bert"), tmp_path / "t", num_train_epochs=1
    )
    run = th.watch(trainer, tmp_path / "run", vog=False)
    trainer.train()
    th.score(run)
    listed = th.suspects(run)
    assert (listed["given"] != listed["likely"]).all()
