"""The pretrained encoder's vector of a text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from thresher.config import ModelConfig
from thresher.model.classifier import pool, pooling_of
from thresher.model.encoder import load_encoder
from thresher.model.tokens import length_sorted_batches, tokenise
from thresher.run.files import digest

BATCH_TOKENS = 4096


class LoadedEncoder:
    """An encoder in eval mode with its tokenizer, and the key that its vectors are cached under."""

    def __init__(self, config: ModelConfig) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        encoder, self.tokenizer = load_encoder(config)
        self.encoder: nn.Module = encoder.eval().requires_grad_(False)
        self.max_length, self.pooling = config.max_length, pooling_of(config, encoder)
        self.key = encoder_key(self.encoder, self.tokenizer, self.max_length, self.pooling)
        self.width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.encoder.to(device)
        self.device = device


@lru_cache(maxsize=1)
def loaded_encoder(config: ModelConfig, key: str) -> LoadedEncoder:
    """The encoder of a configuration, kept by a worker process from job to job; `key` tells changed weights apart."""
    return LoadedEncoder(config)


def encoder_key(encoder: nn.Module, tokenizer: Any, max_length: int, pooling: str) -> str:
    """A hash of all that a vector depends on beside the text: weights, architecture, tokenizer, longest row, pooling.

    Of what the encoder is, not of what it is called: a folder whose weights change does not find the old vectors.
    """
    weights = hashlib.blake2b(digest_size=12)
    for name, tensor in encoder.state_dict().items():
        weights.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    # Where it was loaded from, and by which version, is no part of what it computes.
    passing = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
    shape: dict[str, Any] = encoder.config.to_dict()  # type: ignore[union-attr, operator]
    return digest(
        {
            "weights": weights.hexdigest(),
            "shape": {name: value for name, value in shape.items() if name not in passing},
            "tokenizer": tokenizer.backend_tokenizer.to_str(),
            "max_length": max_length,
            "pooling": pooling,
        }
    )


def encode(encoder: LoadedEncoder, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Pooled last hidden states (N, H) in float32, and whether each text was cut, (N,)."""
    tokens = tokenise([list(texts)], encoder.tokenizer, encoder.max_length)
    values = np.empty((len(tokens), encoder.width), np.float32)
    with torch.no_grad():
        for rows in length_sorted_batches(tokens.lengths, BATCH_TOKENS):
            batch = tokens.batch(rows, encoder.device)
            hidden = encoder.encoder(**batch).last_hidden_state
            values[rows] = pool(hidden, batch["attention_mask"], encoder.pooling).float().cpu().numpy()
    return values, tokens.truncated
