"""Token ids, batches and padding."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from thresher.model.tokens import Tokens, length_sorted_batches, pad_batch, tokenise
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


def test_every_tokenizer_gives_an_empty_text_a_position():
    for kind in (*ENCODERS, "gpt2"):
        assert (tokenise([["", "play"]], tokenizer_of(kind), 8).lengths >= 1).all()


def test_any_script_has_the_same_tokens_whatever_stands_beside_it():
    tokenizer = tokenizer_of("bert")
    texts = ["play موسيقى", "שלום light", "音楽 🎵", "the kitchen"]
    together = tokenise([texts], tokenizer, 16)
    for row, text in enumerate(texts):
        assert tokenise([[text]], tokenizer, 16).ids[0].tolist() == together.ids[row].tolist()
