"""Vocabulary trimming: train with the embeddings of those tokens alone that the training rows have.

The others have no gradient, so a step leaves them as they are, and yet every step clears their gradient, takes its norm and
updates them. Of a small encoder's weights most are such embeddings; of a multilingual one's nearly all.

Source: Ushio, Zhou and Camacho-Collados (2023), "Efficient Multilingual Language Model Compression through Vocabulary
Trimming", Findings of EMNLP, section 3; there the trimmed model is what is shipped, here it is whole again after the training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from thresher.models.tokens import Tokens

Weights = dict[str, Tensor]
TRIED = 8  # rows on which the trimmed encoder must give the same hidden states


@contextmanager
def trimmed_vocabulary(
    model: Any, tokens: Tokens, weight_decay: float = 0.0
) -> Iterator[tuple[Tokens, Callable[[Weights], Weights]]]:
    """While it lasts, the token table of `model.encoder` holds the tokens of `tokens` and padding only.

    Gives `tokens` with ids that count in that table, and a function from the model's weights to those of the whole vocabulary.
    What is trained is the same but for rounding: the norm of the gradient adds up fewer zeros. Where it would not be, nothing
    is trimmed: with weight decay, which moves tokens that no row has, too, and in a model that reads its ids elsewhere (tried
    on a few rows, whose hidden states have to be the same bit for bit).
    """
    found = None if weight_decay else _smaller(model.encoder, tokens)
    if found is None:
        yield tokens, dict
        return
    table, used, small, fewer = found
    (name,) = (f"encoder.{one}" for one, weight in model.encoder.named_parameters() if weight is table.weight)

    def whole(weights: Weights) -> Weights:
        filled = table.weight.detach().clone()
        filled[torch.from_numpy(used)] = weights[name].detach().to(filled)
        return {**weights, name: filled}

    model.encoder.set_input_embeddings(small)
    try:
        yield fewer, whole
        # Not after a failure, which may have left what was trained on a device that no longer answers.
        table.weight.data = whole({name: small.weight})[name].to(small.weight)
    finally:
        model.encoder.set_input_embeddings(table)


def token_table(encoder: Any) -> nn.Embedding | None:
    """The encoder's token embeddings, where they are a plain table that nothing else shares."""
    try:
        table = encoder.get_input_embeddings()
    except NotImplementedError:
        return None
    plain = type(table) is nn.Embedding and table.weight.requires_grad
    if not plain or table.max_norm is not None or table.scale_grad_by_freq or table.sparse:
        return None
    places = [name for name, one in encoder.named_parameters(remove_duplicate=False) if one is table.weight]
    return table if len(places) == 1 else None


def used_tokens(tokens: Tokens) -> np.ndarray:
    """The ids that occur, and that of padding, (U,) int64; padding keeps its number where U reaches that far.

    (Some models count positions by what is not padding, and know it by its id.)

    >>> rows = [np.array([7, 4, 9]), np.array([4])]
    >>> used_tokens(Tokens(rows, None, np.zeros(2, bool), pad=1)).tolist()
    [4, 1, 7, 9]
    """
    ids = np.unique(np.concatenate([*tokens.ids, [tokens.pad]])).astype(np.int64)
    others = ids[ids != tokens.pad]
    return np.insert(others, min(tokens.pad, len(others)), tokens.pad)


def trimmed(table: nn.Embedding, tokens: Tokens, used: np.ndarray) -> tuple[nn.Embedding, Tokens]:
    """A table of the used tokens, in their order, and the rows with ids that count in it."""
    place = np.zeros(table.num_embeddings, np.int32)
    place[used] = np.arange(len(used))
    where = np.flatnonzero(used == table.padding_idx)
    padding = int(where[0]) if len(where) else None
    small = nn.Embedding(
        len(used),
        table.embedding_dim,
        padding_idx=padding,
        _weight=table.weight.detach()[torch.from_numpy(used)].clone(),
    )
    return small, replace(tokens, ids=[place[row] for row in tokens.ids], pad=int(place[tokens.pad]))


def _smaller(encoder: Any, tokens: Tokens) -> tuple[nn.Embedding, np.ndarray, nn.Embedding, Tokens] | None:
    """The token table, the used tokens, the table of those and the rows for it, where both tables give the same hidden states
    on rows of many lengths.
    """
    table = token_table(encoder)
    if table is None:
        return None
    used = used_tokens(tokens)
    if len(used) == table.num_embeddings:
        return None
    small, fewer = trimmed(table, tokens, used)
    order = np.argsort(tokens.lengths, kind="stable")
    rows = order[np.linspace(0, len(order) - 1, min(TRIED, len(order))).astype(int)]
    expected = _hidden(encoder, tokens, rows)
    encoder.set_input_embeddings(small)
    try:
        same = torch.equal(expected, _hidden(encoder, fewer, rows))
    except (IndexError, RuntimeError):  # an id of its own, such as that of padding, is beyond the table
        same = False
    finally:
        encoder.set_input_embeddings(table)
    return (table, used, small, fewer) if same else None


def _hidden(encoder: Any, tokens: Tokens, rows: np.ndarray) -> Tensor:
    """The encoder's output for some rows, (rows, tokens, width), without dropout."""
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        hidden: Tensor = encoder(**tokens.batch(rows, next(encoder.parameters()).device)).last_hidden_state
    encoder.train(training)
    return hidden
