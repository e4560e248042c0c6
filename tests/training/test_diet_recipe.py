"""`thresher train --diet`: a diet as part of the recipe of a run."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from safetensors.torch import load_file
from test_fit import ROWS, trained

import thresher as th
from thresher.config import TrainConfig
from thresher.run import Run
from tiny import WORDS, tiny_model

DIET = TrainConfig(
    epochs=3,
    batch_size=8,
    checkpoints=4,
    forgetting_evaluations=3,
    encoder_lr=1e-3,
    head_lr=1e-2,
    diet="data-diet",
    diet_options={"prune": 0.6, "after": 1},
)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory):
    return tiny_model("bert", tmp_path_factory.mktemp("bert"))


def test_checkpoints_and_evaluations_are_at_the_steps_of_a_training_on_all_rows(model_folder, tmp_path):
    trained(model_folder, tmp_path, DIET)
    steps = [int(path.name[5:]) for path in sorted((tmp_path / "run-0").glob("step-*"))]
    assert steps == [4, 9, 14, 18]
    assert len(list((tmp_path / "evaluations").glob("step-*.parquet"))) == 3
    epochs = [
        json.loads((tmp_path / "run-0" / f"step-{step:08d}" / "checkpoint.json").read_text())["epoch"]
        for step in steps
    ]
    assert epochs[-1] == 3.0
    assert epochs == sorted(epochs)
    facts = json.loads((tmp_path / "state" / "diet.json").read_text())
    kept = round(0.4 * ROWS)
    assert [epoch["rows"] for epoch in facts["epochs"]] == [ROWS, kept, kept]
    assert facts["steps"] == 6 + 2 * -(-kept // 8)


def test_an_interrupted_training_on_a_diet_ends_with_the_same_weights(model_folder, tmp_path, monkeypatch):
    from thresher.training import record as recording

    trained(model_folder, tmp_path / "whole", DIET)
    save = recording.save_weights

    def cut(folder, weights, facts):
        save(folder, weights, facts)
        if facts["step"] == 14:
            raise KeyboardInterrupt

    monkeypatch.setattr(recording, "save_weights", cut)
    with pytest.raises(KeyboardInterrupt):
        trained(model_folder, tmp_path / "cut", DIET)
    monkeypatch.setattr(recording, "save_weights", save)
    trained(model_folder, tmp_path / "cut", DIET)
    last = "run-0/step-00000018/model.safetensors"
    whole, again = (load_file(tmp_path / name / last) for name in ("whole", "cut"))
    assert all(np.array_equal(whole[name], again[name]) for name in whole)


@pytest.mark.parametrize(("lost", "again"), [(None, [15, 18]), (12, [12, 15, 18])])
def test_a_resume_does_not_miss_steps_that_a_diet_skips(lost, again, model_folder, tmp_path, monkeypatch):
    from thresher.training import record as recording

    often = DIET.model_copy(update={"checkpoints": 18, "diet_options": {"prune": 0.7, "after": 1}})
    save, saved = recording.save_weights, []

    def cut(folder, weights, facts):
        saved.append(facts["step"])
        save(folder, weights, facts)
        if len(saved) == 9:
            raise KeyboardInterrupt

    monkeypatch.setattr(recording, "save_weights", cut)
    with pytest.raises(KeyboardInterrupt):
        trained(model_folder, tmp_path / "cut", often)
    # The first epoch takes all rows in 6 steps; each of the 2 steps of the second stands for 3.
    assert saved == [1, 2, 3, 4, 5, 6, 9, 12, 15]
    if lost:
        (tmp_path / "cut" / "run-0" / f"step-{lost:08d}" / "model.safetensors").unlink()
    trained(model_folder, tmp_path / "cut", often)
    assert saved[9:] == again
    trained(model_folder, tmp_path / "whole", often)
    for name in (f"run-0/step-{step:08d}/model.safetensors" for step in (1, 12, 15, 18)):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_run_on_a_diet_completes_all_steps_and_reports_its_cost(model_folder, tmp_path, capsys):
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 60)
    texts = [" ".join([WORDS[label], *random.choice(WORDS, 4)]) for label in labels]
    rows = th.load(pl.DataFrame({"text": texts, "label": labels}), text="text", label="label")
    run = th.train(
        rows,
        out=tmp_path / "run",
        model=str(model_folder),
        epochs=3,
        batch_size=8,
        checkpoints=3,
        workers=1,
        diet="infobatch",
        diet_options={"r": 0.8},
    )
    assert "on diet infobatch" in capsys.readouterr().err
    th.measure(run, workers=1)
    assert "vog" in th.score(run).columns
    facts = Run.open(run).record("train").facts["diet"]
    assert facts["method"] == "infobatch"
    assert facts["rows"] < 3 * 60
    assert facts["epochs"][0]["rows"] == facts["epochs"][-1]["rows"] == 60


def test_an_unknown_diet_is_refused_before_anything_is_written(tmp_path):
    rows = th.load(
        pl.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "x"]}), text="text", label="label"
    )
    with pytest.raises(th.UserError, match="unknown diet 'keto'; known diets: data-diet"):
        th.train(rows, out=tmp_path / "run", diet="keto")
    assert not (tmp_path / "run").exists()
