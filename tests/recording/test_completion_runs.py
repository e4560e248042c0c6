"""What is made of a recorded language model: ids, the run folder, the selection, the suspects; and what is refused, by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import DataCollatorWithFlattening, Trainer, TrainerCallback

import thresher as th
import tiny_language as make
import tiny_trainers
from thresher.run import Run


def watched(trainer: Trainer, run: Path, **more: Any) -> Path:
    """The run folder of a watched training."""
    th.watch(trainer, run, **more)
    trainer.train()
    return run


def plain(folder: Path, **more: Any) -> Trainer:
    return make.plain_trainer(make.language_model("qwen2"), folder, **({"num_train_epochs": 2} | more))


def sft(folder: Path, rows: Dataset | None = None, **more: Any) -> Trainer:
    return make.sft_trainer(make.language_model("qwen2"), folder, rows, **({"num_train_epochs": 2} | more))


def test_a_run_folder_that_scores_selects_and_reports_at_once(tmp_path):
    run = watched(plain(tmp_path / "t"), tmp_path / "run")
    assert Run.open(run).manifest.task == "text"
    scores = th.score(run)
    names = {
        "aum",
        "el2n",
        "el2n_mean",
        "entropy",
        "forgetting",
        "loss",
        "loss_sum",
        "token_accuracy",
        "trajectory",
    }
    assert names <= set(scores.columns)
    selection = th.select(run, prune=0.4, by="loss")
    kept, dropped = (pl.read_parquet(run / f"{name}.parquet") for name in ("kept", "dropped"))
    assert (kept.height, dropped.height) == (7, 4)
    assert kept["index"].to_list() == np.flatnonzero(selection["kept"]).tolist()
    # The rows as they were given, ready to be trained on again.
    assert kept["input_ids"].to_list() == make.tokenised().select(kept["index"])["input_ids"]
    assert th.report(run).is_file()
    rows = tiny_trainers.rows_of(run)
    prompts, completions = make.pairs()
    assert rows["prompt"].to_list() == prompts
    assert rows["completion"].to_list() == completions


@pytest.mark.parametrize("call", [th.compare, th.sweep, th.measure], ids=lambda one: one.__name__)
def test_what_needs_the_training_again_is_refused_in_one_line(call, tmp_path):
    run = watched(plain(tmp_path / "t", num_train_epochs=1), tmp_path / "run")
    th.score(run)
    th.select(run, prune=0.4)
    with pytest.raises(th.UserError, match="was recorded from someone else's training") as refused:
        call(run)
    assert "\n" not in str(refused.value)


def test_a_floor_of_classes_is_refused_where_rows_have_none(tmp_path):
    run = watched(plain(tmp_path / "t", num_train_epochs=1), tmp_path / "run")
    th.score(run)
    with pytest.raises(th.UserError, match="have a text for a target and no classes; leave out floor"):
        th.select(run, prune=0.4, by="loss", floor=3)


def chats() -> Dataset:
    return make.messages().add_column("source", ["a", "b"] * 5 + ["a"])


def test_rows_of_trl_come_back_with_their_own_columns_by_their_ids(tmp_path):
    rows = chats().add_column("id", [f"chat-{i}" for i in range(make.ROWS)])
    run = watched(sft(tmp_path / "t", rows, shuffle_dataset=True), tmp_path / "run")
    th.score(run)
    th.select(run, prune=0.4, by="el2n")
    kept = pl.read_parquet(run / "kept.parquet")
    assert kept.columns == ["index", "messages", "source", "id"]
    assert kept["id"].to_list() == [f"chat-{i}" for i in kept["index"]]
    assert kept["messages"].to_list() == rows.select(kept["index"])["messages"]


@pytest.mark.parametrize("shuffle", [False, True])
def test_rows_that_trl_leaves_out_are_told_and_the_others_keep_their_places(shuffle, tmp_path, capsys):
    prompts, completions = make.pairs()
    prompts[4] = " ".join(["play"] * 30)
    rows = Dataset.from_dict({"prompt": prompts, "completion": [f" {one}" for one in completions]})
    trainer = sft(tmp_path / "t", rows, max_length=20, shuffle_dataset=shuffle)
    run = th.watch(trainer, tmp_path / "run")
    told = capsys.readouterr().err
    assert (
        "SFTTrainer left out 1 of 11 rows, whose completions max_length=20 cuts off; rows are named by their places"
        in told
    )
    trainer.train()
    found = tiny_trainers.rows_of(run)
    assert sorted(map(int, found["id"])) == [i for i in range(make.ROWS) if i != 4]
    assert all(prompts[int(row)] == prompt for row, prompt in found.select("id", "prompt").iter_rows())


def test_bfloat16_is_recorded_up_to_rounding(tmp_path):
    found = [
        tiny_trainers.signals_of(
            watched(sft(tmp_path / "t", bf16=mixed, learning_rate=0.0), tmp_path / str(mixed))
        )[0]
        for mixed in (False, True)
    ]
    for column in ("loss", "error_norm", "entropy"):
        np.testing.assert_allclose(found[1][column].to_numpy(), found[0][column].to_numpy(), rtol=0.02)


class Stopped(Exception):
    pass


class StopAt(TrainerCallback):
    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if state.global_step == 5:
            raise Stopped


def test_a_resumed_training_leaves_the_signals_of_an_uninterrupted_one(tmp_path):
    def trainer_in(folder: Path) -> Trainer:
        trainer = plain(folder / "t", save_strategy="steps", save_steps=2)
        th.watch(trainer, folder / "run")
        return trainer

    trainer_in(tmp_path / "whole").train()
    stopped = trainer_in(tmp_path / "cut")
    stopped.add_callback(StopAt())
    with pytest.raises(Stopped):
        stopped.train()
    trainer_in(tmp_path / "cut").train(resume_from_checkpoint=True)
    whole, cut = (tiny_trainers.signals_of(tmp_path / name / "run")[0] for name in ("whole", "cut"))
    assert cut.equals(whole)


def test_rows_in_no_training_step_are_left_out_and_told(tmp_path, capsys):
    run = watched(plain(tmp_path / "t", max_steps=2), tmp_path / "run")
    assert (
        "3 rows have no completion token in any training step and are not scored" in capsys.readouterr().err
    )
    assert tiny_trainers.rows_of(run).height == 8


@pytest.mark.parametrize(
    ("build", "arguments", "said"),
    [
        (plain, {"label_smoothing_factor": 0.1}, "minimises another loss (label smoothing of 0.1)"),
        (sft, {"loss_type": "dft"}, "minimises another loss (loss_type=dft)"),
    ],
    ids=["label smoothing", "dft"],
)
def test_another_loss_of_the_settings_is_told_and_the_cross_entropy_is_recorded(
    build, arguments, said, tmp_path, capsys
):
    trainer = build(tmp_path / "t", **arguments)
    th.watch(trainer, tmp_path / "run")
    noted = make.note_steps(trainer)
    trainer.train()
    assert capsys.readouterr().err.count(said) == 1
    signals, _ = tiny_trainers.signals_of(tmp_path / "run")
    for row, visits in noted.items():
        np.testing.assert_allclose(signals["loss"][row], [one["loss"] for one in visits], rtol=1e-5)


def packed(folder: Path) -> Trainer:
    return sft(folder, packing=True, max_length=32, packing_strategy="wrapped")


def prompt_tuned(folder: Path) -> Trainer:
    peft = pytest.importorskip("peft")
    model = make.language_model("qwen2")
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    return make.plain_trainer(peft.get_peft_model(model, config), folder)


class NoLogits(nn.Module):
    """A language model that keeps its logits to itself, as with a fused loss."""

    def __init__(self) -> None:
        super().__init__()
        self.model = make.language_model("qwen2")

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any) -> Any:
        return {"loss": self.model(input_ids, attention_mask, labels=labels).loss}


class Merged(DataCollatorWithFlattening):
    """Rows laid end to end without the positions that tell them apart."""

    def __call__(self, *args: Any, **more: Any) -> Any:
        batch = super().__call__(*args, **more)
        batch.pop("position_ids")
        return batch


def merged(folder: Path) -> Trainer:
    trainer = plain(folder)
    trainer.data_collator = Merged()
    return trainer


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (packed, "packing makes one row of several; set packing=False, and padding_free=True"),
        (prompt_tuned, "PromptTuningConfig puts virtual tokens before each row"),
        (lambda folder: make.plain_trainer(NoLogits(), folder), "gave no logits in the training step"),
        (merged, "nothing says which row a token belongs to"),
    ],
    ids=["packing", "prompt tuning", "no logits", "rows laid end to end without positions"],
)
def test_refused_by_name_before_a_weight_has_changed(build, said, tmp_path):
    trainer = build(tmp_path / "t")
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(th.UserError, match=said) as refused:
        watched(trainer, tmp_path / "run")
    assert "\n" not in str(refused.value)
    assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())


def test_a_failure_after_the_first_step_ends_no_training(tmp_path, capsys, monkeypatch):
    from thresher.recording import completion_recorder

    trainer = plain(tmp_path / "t")
    run = th.watch(trainer, tmp_path / "run")
    read = completion_recorder.completion_tokens

    def fail(step: Any) -> Any:
        if trainer.state.global_step == 4:
            raise RuntimeError("no memory")
        return read(step)

    monkeypatch.setattr(completion_recorder, "completion_tokens", fail)
    trainer.train()
    assert trainer.state.global_step == trainer.state.max_steps == 6
    assert capsys.readouterr().err.count("recording failed, and the training continues without it") == 1
    th.finish_recording(trainer)
    assert tiny_trainers.signals_of(run)[0]["correct"].list.len().sum() == 11 + 4


def test_suspects_are_the_rows_whose_completion_does_not_fit(tmp_path):
    run = watched(plain(tmp_path / "t"), tmp_path / "run")
    scores = th.score(run)
    listed = th.suspects(run, out=tmp_path / "s.csv", top=3)
    assert listed.columns == [
        "rank",
        "id",
        "prompt",
        "completion",
        "loss",
        "entropy",
        "token_accuracy",
        "score",
        "why",
    ]
    assert listed["score"].to_list() == scores["loss"].sort(descending=True).to_list()[:3]
    assert listed["id"][0] == scores.sort("loss")["id"][-1]
    assert (tmp_path / "s.csv").is_file()
    by_tokens = th.suspects(run, by="token_accuracy", top=2)
    assert by_tokens["score"].to_list() == scores["token_accuracy"].sort().to_list()[:2]
    with pytest.raises(th.UserError, match="datalab needs the probabilities of classes"):
        th.suspects(run, out=tmp_path / "s.npz", format="datalab")
