"""Encoder, pooling, and a multi-layer perceptron on top."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from thresher.config import ModelConfig

DECODERS = (
    *("gpt2", "gpt_neo", "gpt_neox", "qwen2", "qwen3", "llama", "mistral", "gemma", "gemma2", "gemma3_text"),
    *("opt", "phi", "phi3", "smollm3", "bloom", "falcon"),
)


def pooling_of(config: ModelConfig, encoder: nn.Module) -> str:
    """`auto` is the last token for decoder-only models, else the mean over true tokens."""
    if config.pooling != "auto":
        return config.pooling
    config_of_encoder: Any = encoder.config
    return "last" if config_of_encoder.model_type in DECODERS else "mean"


def pool(hidden: Tensor, mask: Tensor, how: str) -> Tensor:
    """One vector per row from the hidden states; padding never counts.

    Parameters
    ----------
    hidden
        (batch, tokens, width).
    mask
        (batch, tokens), 1 for true tokens.
    how
        "mean" over true tokens, "first" token, or "last" true token.

    >>> hidden = torch.tensor([[[1.0], [3.0], [99.0]]])
    >>> mask = torch.tensor([[1, 1, 0]])
    >>> [pool(hidden, mask, how).item() for how in ("mean", "first", "last")]
    [2.0, 1.0, 3.0]
    """
    if how == "mean":
        weights = mask.to(hidden.dtype)
        return torch.einsum("bth,bt->bh", hidden, weights) / weights.sum(1, keepdim=True)
    positions = torch.arange(mask.shape[1], device=mask.device)
    where = (positions * mask).argmax(1) if how == "last" else mask.to(torch.int64).argmax(1)
    return hidden[torch.arange(len(hidden), device=hidden.device), where]


def classification_head(width: int, n_classes: int, config: ModelConfig) -> nn.Sequential:
    """Dropout and a linear layer for every hidden width and for the classes, with ReLU between them."""
    widths = [width, *config.head_hidden]
    layers: list[nn.Module] = [nn.Dropout(config.dropout)]
    for wide, narrow in pairwise(widths):
        layers += [nn.Linear(wide, narrow), nn.ReLU(), nn.Dropout(config.dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_classes))


class Classifier(nn.Module):
    """Encoder, pooling and head; `forward` takes a padded batch and returns loss (given labels) and logits."""

    def __init__(self, encoder: nn.Module, n_classes: int, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling_of(config, encoder)
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        self.head = classification_head(width, n_classes, config)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None, **inputs: Any
    ) -> SequenceClassifierOutput:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        logits = self.head(pool(hidden, attention_mask, self.pooling))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
