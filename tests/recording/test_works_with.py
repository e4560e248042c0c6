"""What recording works with: each row of the table in the docs is a training whose records are checked, or a refused one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import Trainer

import recorded_setups as setups
import thresher as th
import tiny_trainers as make
from recorded_setups import ALL, COMPLETIONS, LOGITS, SETUPS, Setup
from thresher.recording.model_hooks import classifier_layer, out_features

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "works-with.md"


def alone(setup: Setup, model: nn.Module, row: dict[str, Any], labels: torch.Tensor) -> dict[str, float]:
    """Of one row by plain autograd, without padding: the loss, the gradients at the embeddings and at the last weights."""
    embeddings, last = setup.embeddings(model), setup.last(model)
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
        kept.append(output if output.requires_grad else output.detach().requires_grad_())
        return kept[-1].clone()

    parameters = list(last.parameters())
    frozen = [one for one in parameters if not one.requires_grad]
    for one in frozen:
        one.requires_grad_()
    handle = embeddings.register_forward_hook(keep)
    output = setup.forward(model, row)
    target = setup.labels(labels)
    loss = nn.functional.cross_entropy(output.reshape(-1, output.shape[-1]), target.reshape(-1))
    at_embeddings, *of_last = torch.autograd.grad(loss, [kept[0], *parameters])
    handle.remove()
    for one in frozen:
        one.requires_grad_(False)
    return {
        "loss": loss.item(),
        "gradient_sq": at_embeddings.square().sum().item(),
        "classifier_sq_norm": sum(one.square().sum().item() for one in of_last),
    }


def note(setup: Setup, trainer: Trainer) -> dict[int, list[dict[str, float]]]:
    """Before each step, what each of its rows gives alone."""
    noted: dict[int, list[dict[str, float]]] = {}
    step = trainer.training_step

    def training_step(model: nn.Module, inputs: Any, *more: Any) -> torch.Tensor:
        for number, row, labels in setup.rows(trainer, inputs):
            trainer.model.train()
            noted.setdefault(number, []).append(alone(setup, trainer.model, row, labels))
        return step(model, inputs, *more)

    trainer.training_step = training_step
    return noted


@pytest.mark.parametrize("setup", [one for one in SETUPS if one.records], ids=lambda one: one.name)
def test_records_are_those_of_each_row_alone_and_the_weights_stay(setup: Setup, tmp_path, capsys):
    plain = setup.trainer(tmp_path / "plain")
    plain.train()
    trainer = setup.trainer(tmp_path / "watched")
    run = th.watch(trainer, tmp_path / "run")
    noted = note(setup, trainer)
    trainer.train()
    expected, found = plain.model.state_dict(), trainer.model.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)

    signals, _ = make.signals_of(run)
    assert sum(map(len, noted.values())) == signals["correct"].list.len().sum() > 0
    for number, visits in noted.items():
        line = signals.row(number, named=True)
        np.testing.assert_allclose(line["loss"], [one["loss"] for one in visits], rtol=1e-5, atol=1e-5)
        if setup.records == ALL:
            squares = np.mean([one["gradient_sq"] for one in visits])
            np.testing.assert_allclose(line["gradient_sq_mean"], squares, rtol=1e-3, atol=1e-6)
            norms = [one["classifier_sq_norm"] for one in visits]
            np.testing.assert_allclose(line["classifier_sq_norm"], norms, rtol=1e-3, atol=1e-6)
    told = capsys.readouterr().err
    assert ("gradient_sq_mean" in signals.columns) == (setup.records == ALL)
    assert told.count("VoG") == (setup.records != ALL)
    assert "el2n" in th.score(run).columns


@pytest.mark.parametrize("setup", [one for one in SETUPS if not one.records], ids=lambda one: one.name)
def test_what_it_does_not_work_with_is_refused_before_a_weight_has_changed(setup: Setup, tmp_path):
    trainer = setup.trainer(tmp_path)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(th.UserError, match=setup.said) as refused:
        th.watch(trainer, tmp_path / "run")
        trainer.train()
    assert "\n" not in str(refused.value)
    after = trainer.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not (tmp_path / "run" / "run.yaml").exists()


def test_a_diet_refuses_a_language_model_behind_another_name(tmp_path):
    trainer = setups.hidden_language_model(tmp_path)
    with pytest.raises(th.UserError, match="is not a classifier"):
        th.prune_while_training(trainer, "data-diet")
    trainer = setups.shifted_loss(tmp_path)
    th.prune_while_training(trainer, "data-diet")
    with pytest.raises(th.UserError, match="does not compare its logits with the labels beside them"):
        trainer.train()


def test_a_linear_layer_with_an_adapter_is_one_layer():
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.base_layer, self.lora_a, self.lora_b = nn.Linear(4, 3), nn.Linear(4, 2), nn.Linear(2, 5)

    model = nn.Sequential(nn.Linear(4, 4), Adapted())
    assert classifier_layer(model) is model[1]
    assert out_features(model[1]) == 3


@pytest.mark.parametrize("call", ["watch", "diet"])
def test_another_kind_of_trainer_is_named(call, tmp_path):
    class Loop:
        train_dataset = make.sequence_rows("bert")

    with pytest.raises(th.UserError, match=r"Loop is not a transformers\.Trainer; .* with th\.record"):
        th.watch(Loop(), tmp_path / "run") if call == "watch" else th.prune_while_training(Loop())


def test_the_table_in_the_docs_is_that_of_these_tests():
    table = re.findall(r"^\| (.+?) \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: what for name, what in table if not set(name) <= set("-: ")}
    words = {
        ALL: "everything",
        LOGITS: "without VoG and gradient norms",
        COMPLETIONS: "what the completion tokens give",
        "": "refused",
    }
    for setup in SETUPS:
        assert told[setup.name].startswith(words[setup.records]), setup.name
