"""The text classifier: an encoder, pooling over tokens, and a multi-layer perceptron as head."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from thresher.config import ModelConfig

DECODERS = (
    *("gpt2", "gpt_neo", "gpt_neox", "qwen2", "qwen3", "llama", "mistral", "gemma", "gemma2", "gemma3_text"),
    *("opt", "phi", "phi3", "smollm3", "bloom", "falcon"),
)


def pooling_of(config: ModelConfig, encoder: PreTrainedModel) -> str:
    """The configured pooling; `auto` is the last token for decoder-only models, else the mean over tokens."""
    if config.pooling != "auto":
        return config.pooling
    return "last" if encoder.config.model_type in DECODERS else "mean"


def pool(hidden: Tensor, mask: Tensor, how: str) -> Tensor:
    """One vector per row, (batch, width), from the hidden states; padding is ignored.

    `hidden`: (batch, tokens, width). `mask`: (batch, tokens), 1 for tokens and 0 for padding. `how`: "mean" over the tokens,
    "first" token, or "last" token.

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
    """The head: dropout and a linear layer per hidden width and for the classes, with ReLU between the layers."""
    widths = [width, *config.head_hidden]
    layers: list[nn.Module] = [nn.Dropout(config.dropout)]
    for wide, narrow in pairwise(widths):
        layers += [nn.Linear(wide, narrow), nn.ReLU(), nn.Dropout(config.dropout)]
    return nn.Sequential(*layers, nn.Linear(widths[-1], n_classes))


class Classifier(nn.Module):
    """Encoder, pooling and head. `forward` takes a padded batch and returns logits, and the loss if labels are given."""

    def __init__(self, encoder: PreTrainedModel, n_classes: int, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling_of(config, encoder)
        width = int(encoder.config.hidden_size)
        self.head = classification_head(width, n_classes, config)

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None, **inputs: Tensor
    ) -> SequenceClassifierOutput:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        logits = self.head(pool(hidden, attention_mask, self.pooling))
        loss = None if labels is None else nn.functional.cross_entropy(logits, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)
