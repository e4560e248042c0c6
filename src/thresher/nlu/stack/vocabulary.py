"""Train the embedding rows that the training rows use, and no others: the same model for less work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from thresher.model.tokens import Tokens


@contextmanager
def only_used(encoder: Any, tokens: Tokens) -> Iterator[Tokens]:
    """Inside the block the encoder's token table holds only the rows of `tokens`, which come back renumbered.

    A row that no token uses has no gradient, and without weight decay the optimiser leaves it as it is; so the trained model
    is the same, and the optimiser need not walk through a vocabulary of which a few thousand rows occur. At the end of the
    block the whole table is back, with the trained rows in it. A table whose padding would get another number (some
    architectures count positions by it) is left whole.
    """
    table = encoder.get_input_embeddings()
    used = np.unique(np.concatenate([*tokens.ids, np.array([tokens.pad])]))
    renumbered = np.searchsorted(used, tokens.pad) != tokens.pad
    if not table.weight.requires_grad or len(used) == table.num_embeddings or renumbered:
        yield tokens
        return
    padding = None if table.padding_idx is None else int(np.searchsorted(used, table.padding_idx))
    index = torch.from_numpy(used)
    small = nn.Embedding(len(used), table.embedding_dim, padding_idx=padding)
    small.weight.data = table.weight.data[index].clone()
    encoder.set_input_embeddings(small)
    try:
        yield replace(tokens, ids=[np.searchsorted(used, row) for row in tokens.ids])
        # Not after a failure: it may have left the rows on another device.
        table.weight.data[index] = small.weight.data
    finally:
        encoder.set_input_embeddings(table)
