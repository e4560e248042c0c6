"""Stacks on a frozen encoder: its states equal the encoder's, and only heads are trained and saved."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from toy import toy_config, toy_rows

from thresher.config import ModelConfig
from thresher.errors import UserError
from thresher.models.encoder import load_encoder
from thresher.models.tokens import pad_batch, tokenise
from thresher.nlu.pruning.joint_scores import joint_scores
from thresher.nlu.stack.answer import answer
from thresher.nlu.stack.build import train_stack
from thresher.nlu.stack.evaluate import evaluate
from thresher.nlu.stack.folder import load_stack
from thresher.nlu.stack.frozen import FrozenEncoder, stack_encoder
from thresher.nlu.stack.train import joint_recipe, with_steps
from tiny import tiny_model

TEXTS = ["set the kitchen", "turn on the light in the kitchen", "play some music", "set the kitchen"]


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frozen")
    steps = {"domain.max_steps": 300, "joint.max_steps": 200}
    config = toy_config(folder, **{"model.freeze": True, "model.layers": "all", **steps})
    return train_stack(toy_rows(), folder / "out", config, workers=1)


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_the_states_are_those_of_the_encoder_without_padding(kind: str, tmp_path: Path) -> None:
    config = ModelConfig(name=str(tiny_model(kind, tmp_path / kind)), layers="all", freeze=True)
    whole, tokenizer = load_encoder(config)
    whole.eval()
    tokens = tokenise([TEXTS], tokenizer, 32)
    frozen, _ = stack_encoder(config)
    for rows in ([0], [1, 2, 0], [2, 3]):
        frozen.train()
        batch = pad_batch(tokens, rows)
        found = frozen(**batch).last_hidden_state
        assert found.shape[:2] == batch["input_ids"].shape
        for at, row in enumerate(rows):
            alone = pad_batch(tokens, [row])
            with torch.no_grad():
                states = whole(**alone, output_hidden_states=True).hidden_states
            length = len(tokens.ids[row])
            expected = torch.cat([states[layer][0] for layer in frozen.layers], 1)
            np.testing.assert_allclose(found[at, :length], expected, atol=1e-5)
            assert not found[at, length:].any()


def test_a_text_is_encoded_once_and_nothing_is_trained(tmp_path: Path) -> None:
    config = ModelConfig(name=str(tiny_model("bert", tmp_path / "bert")), layers="all", freeze=True)
    frozen, tokenizer = stack_encoder(config)
    assert isinstance(frozen, FrozenEncoder)
    assert not list(frozen.parameters()) and not frozen.state_dict()
    calls: list[int] = []
    frozen.whole.register_forward_pre_hook(
        lambda module, args, given: calls.append(len(given["input_ids"])), with_kwargs=True
    )
    batch = pad_batch(tokenise([TEXTS], tokenizer, 32), [0, 1, 2, 3])
    first = frozen(**batch).last_hidden_state
    assert sum(calls) == 3  # one of the four texts is there twice
    assert torch.equal(first, frozen(**batch).last_hidden_state) and sum(calls) == 3


def test_it_learns_its_rows_is_saved_small_and_answers_the_same(stack: Path, tmp_path: Path) -> None:
    assert evaluate(load_stack(stack), toy_rows(1))["metrics"]["IRER"] == 0.0
    said = answer(load_stack(stack), TEXTS)
    for file in stack.glob("models/*/model.safetensors"):
        assert all(name.startswith("head.") for name in load_file(file))
    moved = stack.rename(tmp_path / "moved")
    try:
        assert answer(load_stack(moved), TEXTS).equals(said)
    finally:
        moved.rename(stack)


def test_the_intent_and_slot_scores_are_taken_at_the_input_of_the_heads(tmp_path: Path) -> None:
    config = toy_config(tmp_path, **{"model.freeze": True, "model.layers": "all"})
    found = joint_scores(toy_rows(1), config, workers=1)
    own = found.filter(pl.col("id").str.starts_with("home"))
    assert (own.select(pl.exclude("id")).to_numpy() > 0).all()


def test_layers_of_a_frozen_encoder_cannot_be_frozen_once_more(tmp_path: Path) -> None:
    config = toy_config(tmp_path, **{"model.freeze": True, "joint_frozen_layers": 1})
    with pytest.raises(UserError, match="frozen"):
        train_stack(toy_rows(1), tmp_path / "out", config, workers=1)


def test_same_steps_are_those_of_all_rows(tmp_path: Path) -> None:
    config = toy_config(tmp_path, **{"joint.max_steps": None, "joint.epochs": 3, "joint_least_steps": 2})
    assert [joint_recipe(config, rows).max_steps for rows in (80, 8)] == [30, 3]
    assert joint_recipe(with_steps(config, 80), 8).max_steps == 30
