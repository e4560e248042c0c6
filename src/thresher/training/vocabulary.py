"""Train with a token table reduced to the tokens that occur in the training rows.

Tokens that do not occur have no gradient and are not changed by a step, but every step still zeroes their gradients, takes
their norm and updates them. They are most of the weights of a small encoder, and nearly all of a multilingual one.

Source: Ushio, Zhou and Camacho-Collados (2023), "Efficient Multilingual Language Model Compression through Vocabulary
Trimming", Findings of EMNLP, section 3. There the trimmed model is the result; here the table is restored after training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from thresher.models.tokens import Tokens

Weights = dict[str, Tensor]
PROBE_ROWS = 8  # rows on which the trimmed encoder must give the same hidden states


@contextmanager
def trimmed_vocabulary(
    model: nn.Module, tokens: Tokens, weight_decay: float = 0.0
) -> Iterator[tuple[Tokens, Callable[[Weights], Weights]]]:
    """Inside the block, the token table of `model.encoder` holds only the tokens of `tokens` and padding.

    Yields `tokens` with ids for the reduced table, and a function that restores the full vocabulary in a state dict. The
    training is the same up to rounding: the gradient norm sums fewer zeros. Nothing is trimmed if the training would differ:
    with weight decay, which also changes tokens that do not occur, and in models that use the ids elsewhere (checked on a
    few rows, whose hidden states must be equal bit for bit).
    """
    encoder: PreTrainedModel = model.encoder
    found = None if weight_decay else _trimming(encoder, tokens)
    if found is None:
        yield tokens, dict
        return
    table, used, small, fewer = found
    (name,) = (f"encoder.{one}" for one, weight in encoder.named_parameters() if weight is table.weight)

    def full(weights: Weights) -> Weights:
        filled = table.weight.detach().clone()
        filled[torch.from_numpy(used)] = weights[name].detach().to(filled)
        return {**weights, name: filled}

    encoder.set_input_embeddings(small)
    try:
        yield fewer, full
        # Not after an exception: the weights may be on a device that no longer responds.
        table.weight.data = full({name: small.weight})[name].to(small.weight)
    finally:
        encoder.set_input_embeddings(table)


def token_table(encoder: PreTrainedModel) -> nn.Embedding | None:
    """The token embeddings of the encoder, or None if they are not a plain table or share their weights."""
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
    """The ids that occur, and the id of padding, (U,) int64.

    Padding keeps its id if U is large enough, because some models compute positions from the tokens that are not padding.

    >>> rows = [np.array([7, 4, 9]), np.array([4])]
    >>> used_tokens(Tokens(rows, None, np.zeros(2, bool), pad=1)).tolist()
    [4, 1, 7, 9]
    """
    ids = np.unique(np.concatenate([*tokens.ids, [tokens.pad]])).astype(np.int64)
    others = ids[ids != tokens.pad]
    return np.insert(others, min(tokens.pad, len(others)), tokens.pad)


def trimmed(table: nn.Embedding, tokens: Tokens, used: np.ndarray) -> tuple[nn.Embedding, Tokens]:
    """A table of the used tokens, in this order, and the rows with ids for it."""
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


def _trimming(
    encoder: PreTrainedModel, tokens: Tokens
) -> tuple[nn.Embedding, np.ndarray, nn.Embedding, Tokens] | None:
    """The token table, the used tokens, their table and the rows with ids for it; None if the hidden states would differ."""
    table = token_table(encoder)
    if table is None:
        return None
    used = used_tokens(tokens)
    if len(used) == table.num_embeddings:
        return None
    small, fewer = trimmed(table, tokens, used)
    order = np.argsort(tokens.lengths, kind="stable")
    rows = order[np.linspace(0, len(order) - 1, min(PROBE_ROWS, len(order))).astype(int)]
    expected = _hidden(encoder, tokens, rows)
    encoder.set_input_embeddings(small)
    try:
        same = torch.equal(expected, _hidden(encoder, fewer, rows))
    except (IndexError, RuntimeError):  # the model looks up a fixed id that is outside the reduced table
        same = False
    finally:
        encoder.set_input_embeddings(table)
    return (table, used, small, fewer) if same else None


def _hidden(encoder: PreTrainedModel, tokens: Tokens, rows: np.ndarray) -> Tensor:
    """The hidden states (B, T, H) of some rows, without dropout."""
    training = encoder.training
    encoder.eval()
    with torch.no_grad():
        hidden: Tensor = encoder(**tokens.batch(rows, next(encoder.parameters()).device)).last_hidden_state
    encoder.train(training)
    return hidden
