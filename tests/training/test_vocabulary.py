"""Vocabulary trimming: training equals that with the full vocabulary, and unused tokens are unchanged."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from thresher.config import ModelConfig, TrainConfig
from thresher.models.tokens import Tokens, tokenise
from thresher.training import fit as fitting
from thresher.training.fit import fit
from thresher.training.predict import predict_logits
from thresher.training.record import Record
from thresher.training.train import new_classifier
from thresher.training.vocabulary import trimmed_vocabulary, used_tokens
from tiny import SHAPES, WORDS, tiny_model

RECIPE = TrainConfig(
    epochs=2, batch_size=8, checkpoints=2, forgetting_evaluations=2, encoder_lr=1e-3, head_lr=1e-2, bf16=False
)
SAID, UNSAID = WORDS[:9], WORDS[9:]
ROWS = 36


def classifier(kind: str, folder: Path):
    """A tiny model, and rows with nine of its words."""
    random = np.random.default_rng(2)
    labels = random.integers(0, 3, ROWS)
    texts = [" ".join([SAID[label], *random.choice(SAID, random.integers(1, 9))]) for label in labels]
    name = str(folder / kind)
    if not Path(name).is_dir():
        tiny_model(kind, Path(name))
    model, tokenizer = new_classifier(ModelConfig(name=name, dropout=0.1), 3, 0)
    return model, tokenise([texts], tokenizer, 32), labels, tokenizer


def table(model) -> torch.Tensor:
    return model.encoder.get_input_embeddings().weight.detach().clone()


@contextmanager
def untrimmed(model, tokens, weight_decay):
    yield tokens, dict


@pytest.mark.parametrize("kind", SHAPES)
def test_training_equals_that_with_the_full_vocabulary(kind, tmp_path, monkeypatch):
    model, tokens, labels, tokenizer = classifier(kind, tmp_path)
    before, texts = table(model), tokenise([UNSAID], tokenizer, 32)
    record = Record(
        tmp_path / "run", tmp_path / "evaluations", pl.Series("id", [str(at) for at in range(ROWS)])
    )
    fit(model, tokens, labels, RECIPE, 0, tmp_path / "state", record)
    used = used_tokens(tokens)
    unused = np.setdiff1d(np.arange(len(before)), used)
    assert len(unused) >= len(UNSAID)
    assert torch.equal(table(model)[unused], before[unused])
    assert not torch.equal(table(model)[used], before[used])
    last = max((tmp_path / "run").iterdir())
    saved = load_file(last / "model.safetensors")
    assert saved.keys() == model.state_dict().keys()
    assert all(torch.equal(saved[name], weights) for name, weights in model.state_dict().items())

    monkeypatch.setattr(fitting, "trimmed_vocabulary", untrimmed)
    plain, *_ = classifier(kind, tmp_path)
    fit(plain, tokens, labels, RECIPE, 0, tmp_path / "plain")
    for rows in (tokens, texts):  # words that were never trained, too
        assert np.allclose(predict_logits(model, rows), predict_logits(plain, rows), atol=1e-4)


def test_the_optimiser_has_only_the_used_tokens_and_the_table_is_restored(tmp_path):
    model, tokens, *_ = classifier("bert", tmp_path)
    whole, used = model.encoder.get_input_embeddings(), used_tokens(tokens)
    before = table(model)
    expected = before.clone()
    expected[used] += 1
    with trimmed_vocabulary(model, tokens) as (fewer, to_whole):
        assert table(model).shape == (len(used), 16)
        with torch.no_grad():
            model.encoder.get_input_embeddings().weight += 1
        found = predict_logits(model, fewer)
        saved = to_whole(model.state_dict())
        with trimmed_vocabulary(model, fewer) as (same, _):
            assert same is fewer
        model.double()  # as a training on another device leaves it there
    assert model.encoder.get_input_embeddings() is whole
    assert torch.equal(table(model), expected.double())
    assert torch.equal(saved["encoder.embeddings.word_embeddings.weight"], expected)
    assert np.array_equal(predict_logits(model.float(), tokens), found)


def test_a_training_that_fails_leaves_the_table_as_it_was(tmp_path):
    model, tokens, *_ = classifier("bert", tmp_path)
    whole, before = model.encoder.get_input_embeddings(), table(model)
    with pytest.raises(KeyboardInterrupt), trimmed_vocabulary(model, tokens):
        assert model.encoder.get_input_embeddings() is not whole
        model.encoder.to("meta")  # from where nothing can be copied
        raise KeyboardInterrupt
    assert model.encoder.get_input_embeddings() is whole and torch.equal(whole.weight, before)


def test_weight_decay_moves_every_token_so_nothing_is_trimmed(tmp_path):
    model, tokens, *_ = classifier("bert", tmp_path)
    before = table(model)
    with trimmed_vocabulary(model, tokens, weight_decay=0.01) as (same, to_whole):
        assert same is tokens
        assert torch.equal(table(model), before)
        assert to_whole(model.state_dict()).keys() == model.state_dict().keys()


@pytest.mark.parametrize("reads", ["their size", "a table of its own"])
def test_a_model_that_uses_its_ids_elsewhere_is_not_trimmed(reads, tmp_path):
    model, tokens, labels, _ = classifier("bert", tmp_path)
    whole, inner = table(model), model.encoder.forward
    own = torch.nn.Embedding.from_pretrained(torch.randn_like(whole))

    def forward(input_ids, **given):
        found = inner(input_ids=input_ids, **given)
        more = input_ids[..., None] / 100 if reads == "their size" else own(input_ids)
        found.last_hidden_state = found.last_hidden_state + more
        return found

    model.encoder.forward = forward
    with trimmed_vocabulary(model, tokens, weight_decay=0) as (same, _):
        assert same is tokens and torch.equal(table(model), whole)
    fit(model, tokens, labels, RECIPE, 0, tmp_path / "state")
    assert table(model).shape == whole.shape


def test_an_id_that_the_model_looks_up_by_itself_may_be_beyond_the_table(tmp_path):
    model, tokens, *_ = classifier("bert", tmp_path)
    inner = model.encoder.forward

    def forward(input_ids, **given):
        model.encoder.get_input_embeddings()(torch.tensor([28]))
        return inner(input_ids=input_ids, **given)

    model.encoder.forward = forward
    with trimmed_vocabulary(model, tokens, weight_decay=0) as (same, _):
        assert same is tokens


@given(
    st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=6), min_size=1, max_size=5), st.integers(0, 40)
)
def test_every_id_has_one_place_and_padding_keeps_its_own_where_it_can(rows, pad):
    tokens = Tokens([np.array(row, np.int32) for row in rows], None, np.zeros(len(rows), bool), pad)
    used = used_tokens(tokens)
    assert sorted(used) == sorted({pad, *(token for row in rows for token in row)})
    assert used[min(pad, len(used) - 1)] == pad
    shuffled = replace(tokens, ids=tokens.ids[::-1])
    assert np.array_equal(used_tokens(shuffled), used)
