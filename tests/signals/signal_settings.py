"""A tiny model of any architecture with some random checkpoints, rows of many lengths and labels."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from thresher.config import ModelConfig
from thresher.models.classifier import Classifier
from thresher.models.encoder import load_encoder
from thresher.models.tokens import Tokens, tokenise
from tiny import WORDS, tiny_model, tokenizer_of

CLASSES, CHECKPOINTS = 3, 4


class Setting(NamedTuple):
    model: Classifier
    checkpoints: list[dict[str, torch.Tensor]]
    tokens: Tokens
    labels: np.ndarray
    tokenizer: PreTrainedTokenizerFast


def make_setting(kind: str, folder: Path) -> Setting:
    torch.manual_seed(1)
    config = ModelConfig(name=str(tiny_model(kind, folder)), head_hidden=(12, 10), max_length=32)
    encoder, _ = load_encoder(config)
    tokenizer = tokenizer_of(kind)
    model = Classifier(encoder, CLASSES, config).eval()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    checkpoints = []
    for _ in range(CHECKPOINTS):
        for name, value in state.items():
            if value.is_floating_point():
                state[name] = value + 0.05 * torch.randn_like(value)
        checkpoints.append(dict(state))
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, n)) for n in (1, 9, 3, 3, 14, 6)]
    tokens = tokenise([texts], tokenizer, config.max_length)
    return Setting(model, checkpoints, tokens, random.integers(0, CLASSES, len(texts)), tokenizer)


def as_type(checkpoints: list[dict[str, torch.Tensor]], dtype: torch.dtype) -> list[dict[str, torch.Tensor]]:
    return [{k: v.to(dtype) if v.is_floating_point() else v for k, v in c.items()} for c in checkpoints]
