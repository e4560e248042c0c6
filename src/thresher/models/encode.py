"""Encode texts with a pretrained encoder: one vector per text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from thresher.config import ModelConfig
from thresher.models.classifier import pool, pooling_of
from thresher.models.encoder import load_encoder
from thresher.models.tokens import length_sorted_batches, tokenise
from thresher.run.files import digest

BATCH_TOKENS = 4096


class LoadedEncoder:
    """A frozen encoder in eval mode with its tokenizer, and the key under which its vectors are cached.

    With `encode` "bfloat16" its weights and products are; the mean over the tokens is float32.
    """

    def __init__(self, config: ModelConfig) -> None:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        encoder, self.tokenizer = load_encoder(config)
        if config.encode == "bfloat16":
            encoder.to(torch.bfloat16)
        self.encoder = encoder.eval().requires_grad_(False)
        self.max_length, self.pooling = config.max_length, pooling_of(config, encoder)
        self.key = encoder_key(self.encoder, self.tokenizer, self.max_length, self.pooling)
        self.width = int(encoder.config.hidden_size)
        self.encoder.to(device)
        self.device = device


@lru_cache(maxsize=1)
def loaded_encoder(config: ModelConfig, key: str) -> LoadedEncoder:
    """The encoder of a configuration, cached per worker process; a changed `key` means changed weights."""
    return LoadedEncoder(config)


def encoder_key(
    encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, max_length: int, pooling: str
) -> str:
    """A hash of everything except the text that determines a vector: weights, architecture, tokenizer, length limit, pooling.

    It depends on the content of the encoder and not on its name, so new weights in the same folder get a new key.
    """
    weights = hashlib.blake2b(digest_size=12)
    for name, tensor in encoder.state_dict().items():
        weights.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        weights.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    # Where it was loaded from, and by which version, does not change what it computes.
    ignored = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
    shape = encoder.config.to_dict()
    return digest(
        {
            "weights": weights.hexdigest(),
            "shape": {name: value for name, value in shape.items() if name not in ignored},
            "tokenizer": tokenizer.backend_tokenizer.to_str(),
            "max_length": max_length,
            "pooling": pooling,
        }
    )


def encode(encoder: LoadedEncoder, texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The pooled last hidden states (N, H) in float32, and whether each text was truncated, (N,)."""
    tokens = tokenise([list(texts)], encoder.tokenizer, encoder.max_length)
    values = np.empty((len(tokens), encoder.width), np.float32)
    with torch.no_grad():
        for rows in length_sorted_batches(tokens.lengths, BATCH_TOKENS):
            batch = tokens.batch(rows, encoder.device)
            hidden = encoder.encoder(**batch).last_hidden_state
            values[rows] = pool(hidden.float(), batch["attention_mask"], encoder.pooling).cpu().numpy()
    return values, tokens.truncated
