"""Trainings that cannot be recorded are refused by name: most before they start, the rest before a weight has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import Trainer
from transformers.modeling_outputs import SequenceClassifierOutput

import thresher as th
import tiny_trainers as make
from thresher.run.layout import Layout
from tiny import tokenizer_of


def changed(tmp_path: Any, change: Any, **arguments: Any) -> Trainer:
    trainer = make.trainer_of(
        make.sequence_model("bert"), make.sequence_rows("bert"), tmp_path / "t", **arguments
    )
    change(trainer)
    return trainer


def nothing(trainer: Trainer) -> None:
    pass


def regression(trainer: Trainer) -> None:
    trainer.model.config.num_labels = 1


def several_labels(trainer: Trainer) -> None:
    trainer.model.config.problem_type = "multi_label_classification"


def iterable(trainer: Trainer) -> None:
    trainer.train_dataset = trainer.train_dataset.to_iterable_dataset()


def no_rows(trainer: Trainer) -> None:
    trainer.train_dataset = None


def sharded(trainer: Trainer) -> None:
    trainer.is_fsdp_enabled = True


def deepspeed(trainer: Trainer) -> None:
    trainer.is_deepspeed_enabled = True


def two_gpus(trainer: Trainer) -> None:
    trainer.args._n_gpu = 2


def language_model(trainer: Trainer) -> None:
    class GPT2LMHeadModel(nn.Module):
        pass

    trainer.model = GPT2LMHeadModel()


def sequence_to_sequence(trainer: Trainer) -> None:
    class T5ForConditionalGeneration(nn.Module):
        pass

    trainer.model = T5ForConditionalGeneration()


BEFORE: list[tuple[Any, dict[str, Any], str]] = [
    (regression, {}, "regression"),
    (several_labels, {}, "several labels"),
    (iterable, {"max_steps": 2}, "iterable"),
    (no_rows, {}, "no train_dataset"),
    (sharded, {}, "FSDP"),
    (deepspeed, {}, "DeepSpeed"),
    (two_gpus, {}, "torchrun"),
    (
        language_model,
        {},
        "GPT2LMHeadModel is a language model, of which no gradients are recorded; watch with vog=False",
    ),
    (sequence_to_sequence, {}, "T5ForConditionalGeneration is no classifier and no causal language model"),
    (nothing, {"label_smoothing_factor": 0.1}, "label smoothing"),
    (nothing, {"accelerator_config": {"dispatch_batches": True}}, "dispatch_batches"),
]


@pytest.mark.parametrize(
    ("change", "arguments", "said"), BEFORE, ids=lambda one: getattr(one, "__name__", "")
)
def test_refused_before_the_training_starts(change, arguments, said, tmp_path):
    trainer = changed(tmp_path, change, **arguments)
    methods = (trainer.get_train_dataloader, trainer.training_step)
    with pytest.raises(th.UserError, match=said) as refused:
        th.watch(trainer, tmp_path / "run", vog=True)
    assert "\n" not in str(refused.value)
    assert (trainer.get_train_dataloader, trainer.training_step) == methods
    assert not (tmp_path / "run").exists()


class Weighted(Trainer):
    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = nn.functional.cross_entropy(outputs.logits, labels, weight=torch.tensor([1.0, 2.0, 9.0]))
        return (loss, outputs) if return_outputs else loss


class Twice(Trainer):
    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        return model(**inputs).loss + model(**inputs).loss


class NoLogits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bert = make.sequence_model("bert")
        self.config = self.bert.config

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any) -> Any:
        return SequenceClassifierOutput(loss=self.bert(input_ids, attention_mask, labels=labels).loss)


@pytest.mark.parametrize(
    ("kind", "model", "vog", "said"),
    [
        (Weighted, None, True, "class weights"),
        (Twice, None, False, "calls the model twice"),
        (Trainer, NoLogits, False, "gave no logits or scores"),
    ],
    ids=["class weights", "two passes", "no logits"],
)
def test_refused_at_the_first_step_before_a_weight_has_changed(kind, model, vog, said, tmp_path):
    trainer = make.trainer_of(
        model() if model else make.sequence_model("bert"), make.sequence_rows("bert"), tmp_path / "t", of=kind
    )
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    th.watch(trainer, tmp_path / "run", vog=vog)
    with pytest.raises(th.UserError, match=said):
        trainer.train()
    assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())
    assert not (tmp_path / "run" / "run.yaml").exists()


class Focal(Trainer):
    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        each = nn.functional.cross_entropy(outputs.logits, labels, reduction="none")
        loss = ((1 - torch.exp(-each)) ** 5 * each).mean()
        return (loss, outputs) if return_outputs else loss


OTHER_LOSSES = pytest.mark.parametrize(
    ("kind", "arguments"),
    [(Weighted, {}), (Focal, {}), (Trainer, {"label_smoothing_factor": 0.2})],
    ids=["class weights", "focal", "label smoothing"],
)


@OTHER_LOSSES
def test_another_loss_is_watched_without_vog_and_without_gradient_norms(kind, arguments, tmp_path):
    trainer = make.trainer_of(
        make.sequence_model("bert"),
        make.sequence_rows("bert"),
        tmp_path / "t",
        of=kind,
        **{"num_train_epochs": 8, "learning_rate": 1e-2, **arguments},
    )
    run = th.watch(trainer, tmp_path / "run", vog=False)
    trainer.train()
    columns = th.score(run).columns
    assert "el2n" in columns
    assert not {"grand", "tracin"} & set(columns)


def test_vog_is_left_out_of_a_loss_that_looks_like_the_cross_entropy_at_first(tmp_path, capsys):
    trainer = make.trainer_of(
        make.sequence_model("bert"),
        make.sequence_rows("bert"),
        tmp_path / "t",
        of=Focal,
        num_train_epochs=8,
        learning_rate=1e-2,
    )
    torch.nn.init.zeros_(trainer.model.classifier.weight)
    run = th.watch(trainer, tmp_path / "run", vog=True)
    trainer.train()
    told = capsys.readouterr().err
    assert (
        told.count("is not the mean cross-entropy")
        == told.count("; VoG and gradient norms are left out")
        == 1
    )
    assert trainer.state.global_step == trainer.state.max_steps
    columns = th.score(run).columns
    assert "el2n" in columns
    assert not {"grand", "tracin", "vog_online"} & set(columns)
    assert th.select(run, prune=0.4).height == make.ROWS


def test_rows_that_a_diet_weighs_have_a_weighted_cross_entropy():
    from thresher.recording.gradients import is_cross_entropy
    from thresher.recording.step import Step

    logits = torch.randn(6, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    labels, weight = torch.tensor([0, 1, 2, 0, 1, 2]), torch.tensor([1.0, 5, 1, 5, 1, 5])
    each = nn.functional.cross_entropy(logits, labels, reduction="none")
    (gradient,) = torch.autograd.grad((each * weight).mean(), logits)
    step = Step(torch.arange(6), {}, labels)
    step.output = SequenceClassifierOutput(logits=logits.detach())
    step.classifier.gradient = gradient
    assert not is_cross_entropy(step)
    step.weight = weight
    assert is_cross_entropy(step)


def test_a_folder_that_holds_a_run_is_not_overwritten_without_force(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.yaml").write_text("format: 1\n")
    with pytest.raises(th.UserError, match="holds a run already"):
        th.watch(changed(tmp_path, nothing), tmp_path / "run")


def test_a_run_that_is_overwritten_is_kept_until_records_of_the_new_one_are_written(tmp_path):
    def contents() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}

    trainer = changed(tmp_path, nothing)
    run = th.watch(trainer, tmp_path / "run")
    trainer.train()
    th.score(run)
    th.select(run, prune=0.4, by="el2n")
    former = contents()
    refused = make.trainer_of(
        make.sequence_model("bert"), make.sequence_rows("bert"), tmp_path / "t", of=Weighted
    )
    th.watch(refused, run, vog=True, force=True)
    with pytest.raises(th.UserError, match="class weights"):
        refused.train()
    assert contents() == former
    trainer = make.trainer_of(make.sequence_model("bert"), make.sequence_rows("bert", rows=7), tmp_path / "t")
    th.watch(trainer, run, force=True)
    trainer.train()
    assert not (run / "kept.parquet").exists() and not Layout(run).recording.exists()
    assert th.score(run).height == 7


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"vog": 10**9}, "vog is 1000000000; .* at most 16,384"),
        ({"vog": 0.5}, "vog is 0.5; it is"),
        ({"seed": -1}, "seed is -1; it is a whole number from 0"),
        ({"text": 3}, "text is 3, of type int; give the name of a column"),
    ],
)
def test_an_option_without_sense_is_refused_at_the_call(given, said, tmp_path):
    with pytest.raises(th.UserError, match=said):
        th.watch(changed(tmp_path, nothing), tmp_path / "run", **given)


@pytest.mark.parametrize("given", [{"text": "premise"}, {"id": "number"}])
def test_unknown_columns_are_named_with_those_there_are(given, tmp_path):
    (column,) = given.values()
    with pytest.raises(th.UserError, match=f"no column '{column}'; it has sentence, "):
        th.watch(changed(tmp_path, nothing), tmp_path / "run", **given)


@pytest.mark.parametrize(
    ("more", "shown"),
    [
        ({}, ["premise", "hypothesis"]),
        ({"source": ["the web"] * 21, "label_text": ["the"] * 21}, ["premise", "hypothesis"]),
    ],
)
def test_rows_are_shown_by_the_columns_that_their_tokens_are_made_from(more, shown):
    from thresher.recording.dataset_rows import source_columns

    tokenizer, pairs = tokenizer_of("bert"), make.sequence_rows("bert", pairs=True)
    for name, values in more.items():
        pairs = pairs.add_column(name, values)
    assert source_columns(pairs.select_columns(sorted(pairs.column_names)), tokenizer) == tuple(sorted(shown))
    single = make.sequence_rows("bert").add_column("source", ["a book"] * 21)
    assert source_columns(single.select_columns(["source", "sentence", "input_ids"]), tokenizer) == (
        "sentence",
    )
    assert source_columns(single.select_columns(["source", "sentence"]), None) == ("sentence",)


def test_ids_and_class_names_are_those_of_the_dataset(tmp_path):
    from datasets import ClassLabel

    rows: Dataset = make.sequence_rows("bert").cast_column(
        "label", ClassLabel(names=["no", "yes", "perhaps"])
    )
    rows = rows.add_column("number", [f"r{i}" for i in range(make.ROWS)])
    trainer = make.trainer_of(make.sequence_model("bert"), rows, tmp_path / "t", num_train_epochs=1)
    run = th.watch(trainer, tmp_path / "run", id="number", vog=False)
    trainer.train()
    scores = th.score(run)
    assert scores["id"].to_list() == rows["number"][:]
    assert scores["label"].to_list() == [rows.features["label"].names[label] for label in rows["label"]]
