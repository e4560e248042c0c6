"""Token ids, batches and padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thresher.errors import UserError
from thresher.models import tokens as module
from thresher.models.frozen import Features
from thresher.models.tokens import Tokens, length_sorted_batches, pad_batch, tokenise
from tiny import ENCODERS, tokenizer_of


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80), st.integers(1, 300))
def test_batches_hold_every_row_once_within_the_token_budget(lengths, budget):
    lengths = np.array(lengths)
    batches = length_sorted_batches(lengths, budget)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or lengths[batch].max() * len(batch) <= budget


def test_a_batch_is_padded_on_the_right_and_masked():
    tokens = Tokens(
        [np.array([5, 6]), np.array([7])], [np.array([0, 1]), np.array([0])], np.zeros(2, bool), pad=9
    )
    batch = pad_batch(tokens, [1, 0])
    assert batch["input_ids"].tolist() == [[7, 9], [5, 6]]
    assert batch["attention_mask"].tolist() == [[1, 0], [1, 1]]
    assert batch["token_type_ids"].tolist() == [[0, 0], [0, 1]]


def test_long_rows_are_cut_and_counted_and_the_longer_text_of_a_pair_first():
    tokenizer = tokenizer_of("bert")
    tokens = tokenise([["play", "play " * 30], ["music", "the light"]], tokenizer, 10)
    assert tokens.truncated.tolist() == [False, True]
    assert tokens.lengths.tolist() == [5, 10]
    assert tokens.types is not None
    assert tokens.types[1].sum() == 3  # both words of the shorter text and its separator are whole


@pytest.mark.parametrize("kind", [*ENCODERS, "gpt2"])
@pytest.mark.parametrize("pairs", [False, True])
def test_rows_are_as_long_as_asked_for_or_refused(kind, pairs):
    columns = [["play music in the kitchen"], ["the light is off"]][: 1 + pairs]
    tokenizer = tokenizer_of(kind)
    whole = tokenise(columns, tokenizer, 100).lengths[0]
    special = whole - sum(len(tokenizer.tokenize(text)) for (text,) in columns)
    for length in range(1, whole + 3):
        if length > special:
            assert tokenise(columns, tokenizer, length).lengths.tolist() == [min(length, whole)]
        else:
            with pytest.raises(
                UserError, match=f"rows of {length} tokens have no room for text: {special} of"
            ):
                tokenise(columns, tokenizer, length)


def test_every_tokenizer_gives_an_empty_text_a_position():
    for kind in (*ENCODERS, "gpt2"):
        assert (tokenise([["", "play"]], tokenizer_of(kind), 8).lengths >= 1).all()


@pytest.mark.parametrize("kind", [*ENCODERS, "gpt2"])
@pytest.mark.parametrize("pairs", [False, True])
def test_rows_are_tokenised_in_blocks_as_they_are_in_one_go(kind, pairs, monkeypatch):
    texts = [" ".join(["play"] * (i % 7)) for i in range(23)]
    columns = [texts, texts[::-1]] if pairs else [texts]
    whole = tokenise(columns, tokenizer_of(kind), 5)
    monkeypatch.setattr(module, "BLOCK_ROWS", 5)
    blocks = tokenise(columns, tokenizer_of(kind), 5)
    assert [row.tolist() for row in blocks.ids] == [row.tolist() for row in whole.ids]
    assert blocks.truncated.tolist() == whole.truncated.tolist()
    assert whole.truncated.any()
    assert blocks.pad == whole.pad
    assert (blocks.types is None) == (whole.types is None)
    if blocks.types is not None and whole.types is not None:
        assert [row.tolist() for row in blocks.types] == [row.tolist() for row in whole.types]


def test_a_tokenizer_never_gets_many_rows_at_once():
    """It keeps kilobytes beside the ids of each."""
    tokenizer, given_rows = tokenizer_of("bert"), []

    class Counting:
        def __getattr__(self, name: str):
            return getattr(tokenizer, name)

        def __call__(self, texts, **named):
            given_rows.append(len(texts))
            return tokenizer(texts, **named)

    assert len(tokenise([["play"] * 25_000], Counting(), 8)) == 25_000
    assert max(given_rows) <= 10_000


@pytest.mark.parametrize(("device", "waits"), [("cpu", True), ("meta", True), ("mps", True), ("cuda", False)])
def test_copies_to_a_device_are_asynchronous_only_on_cuda(device, waits, monkeypatch):
    """On MPS the source may be released, and used again, before the copy is done."""
    asked = []

    def to(tensor, device, non_blocking=False):
        asked.append(non_blocking)
        return tensor

    monkeypatch.setattr(torch.Tensor, "to", to)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    pad_batch(Tokens([np.array([5, 6])], None, np.zeros(1, bool), pad=0), [0], device)
    Features(np.zeros((1, 2), np.float32), np.zeros(1, bool)).batch([0], device)
    assert asked == [not waits] * 3


def test_any_script_has_the_same_tokens_whatever_else_is_in_the_batch():
    tokenizer = tokenizer_of("bert")
    texts = ["play موسيقى", "שלום light", "音楽 🎵", "the kitchen"]
    together = tokenise([texts], tokenizer, 16)
    for row, text in enumerate(texts):
        assert tokenise([[text]], tokenizer, 16).ids[0].tolist() == together.ids[row].tolist()
