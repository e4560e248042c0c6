"""Many rows: heads take fewer passes, measure their logits alone, and the rows come back as they were."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

import thresher as th
from thresher.config import DataConfig, ModelConfig, ProxyConfig, RunConfig, TrainConfig
from thresher.pipeline.proxy import proxy_config
from thresher.training.recipe import MANY, with_defaults
from tiny import tiny_model

FROZEN = ModelConfig(freeze=True)


def test_more_rows_than_many_take_no_more_steps_and_are_visited_once_at_least():
    usual, few = with_defaults(FROZEN, TrainConfig(), MANY), with_defaults(FROZEN, TrainConfig(), MANY + 1)
    assert (usual.epochs, usual.checkpoints, usual.folds) == (6.0, 10, "auto")
    assert few.epochs == pytest.approx(6.0, rel=1e-4) and few.null_epochs == pytest.approx(2.0, rel=1e-4)
    assert (few.checkpoints, few.forgetting_evaluations, few.folds) == (5, 5, 2)
    assert with_defaults(FROZEN, TrainConfig(), 4 * MANY).epochs == 1.5
    assert with_defaults(FROZEN, TrainConfig(), 100 * MANY).epochs == 1.0


def test_what_was_asked_for_stays():
    asked = TrainConfig(epochs=4, folds=5, checkpoints=7, null_epochs=1, forgetting_evaluations=3)
    found = with_defaults(FROZEN, asked, 10 * MANY)
    assert (found.epochs, found.folds, found.checkpoints) == (4, 5, 7)
    assert (found.null_epochs, found.forgetting_evaluations) == (1, 3)


def test_a_proxy_takes_one_training_and_the_folds_that_were_asked_for():
    data = DataConfig(train="train.jsonl", text=("text",), label="label")
    asked = RunConfig(data=data, proxy=ProxyConfig(encoder="frozen"), train=TrainConfig(folds=3))
    few = proxy_config(asked, MANY + 1)
    assert (few.train.runs, proxy_config(asked, MANY).train.runs) == (1, 3)
    settled = with_defaults(few.model, few.train, MANY + 1)
    assert (settled.folds, settled.checkpoints) == (3, 5)


@pytest.fixture
def few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (
        "training.recipe",
        "training.words",
        "pipeline.proxy",
        "pipeline.preset",
        "signals.measure",
    ):
        monkeypatch.setattr(f"thresher.{module}.MANY", 50)


@pytest.mark.usefixtures("few_are_many")
def test_a_run_on_many_rows_chooses_by_logits_and_words_alone(tmp_path: Path):
    lines = [
        json.dumps({"text": f"{verb} the {thing} {at}", "label": verb, "note": at})
        for at in range(30)
        for verb, thing in (("turn", "lamp"), ("play", "song"), ("stop", "song"))
    ]
    source = tmp_path / "train.jsonl"
    source.write_text("".join(f"{line}\n" for line in lines))
    model = str(tiny_model("bert", tmp_path / "tiny"))
    found = th.run(
        th.load(source, text="text", label="label"),
        out=tmp_path / "RUN",
        model=model,
        prune=0.4,
        hold_out=0,
        workers=1,
        epochs=1,
    )
    run = found.run
    assert run.config.measure.signals == ()
    train = run.scoring.config.train
    assert (train.runs, train.folds, train.checkpoints) == (1, 2, 5) and train.epochs == pytest.approx(10 / 3)
    scores = run.scores()
    assert {"aum", "held_out_margin", "word_margin", "correctness", "pvi"} <= set(scores.columns)
    assert "vog" not in scores.columns and scores["word_margin"].is_finite().all()
    assert "gradient_gram" in run.require("score").facts["skipped"]["vog"]
    kept = Path(found.kept).read_text().splitlines()
    assert found.n_kept == len(kept) == 54 and set(kept) <= set(lines)
    assert pl.read_csv(found.suspects).columns[:4] == ["rank", "id", "text", "given"]
