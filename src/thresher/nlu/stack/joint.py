"""Intent classifier and slot tagger of one domain: one encoder, two heads."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thresher.config import ModelConfig
from thresher.errors import UserError
from thresher.models.classifier import classification_head, pool, pooling_of
from thresher.models.encoder import embedding_layer, layer_stack
from thresher.nlu.stack.encode import IGNORED


class JointModel(nn.Module):
    """Encoder with two heads: a perceptron on the pooled vector for the intent, a linear map on every token for its tag.

    `forward` returns {"intent": (B, intents), "tags": (B, T, tags)} and, given labels (B, 1 + T or more), "loss": the cross
    entropy of the intent plus that of the tags, averaged over the words of the batch.
    """

    def __init__(self, encoder: nn.Module, n_intents: int, n_tags: int, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling_of(config, encoder)
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
        intent = classification_head(width, n_intents, config)
        linear = config.model_copy(update={"head_hidden": ()})
        # A frozen encoder has learned nothing about slots, so its tag head is a perceptron too.
        tags = classification_head(width, n_tags, config if config.freeze else linear)
        self.head = nn.ModuleDict({"intent": intent, "tags": tags})

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None, **inputs: Any
    ) -> dict[str, Tensor]:
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        intent = self.head["intent"](pool(hidden, attention_mask, self.pooling))
        tags = self.head["tags"](hidden)
        if labels is None:
            return {"intent": intent, "tags": tags}
        wanted = labels[:, 1 : 1 + tags.shape[1]]
        loss = nn.functional.cross_entropy(intent.float(), labels[:, 0])
        if tags.shape[2] > 1 and bool((wanted != IGNORED).any()):
            loss = loss + nn.functional.cross_entropy(
                tags.float().transpose(1, 2), wanted, ignore_index=IGNORED
            )
        return {"loss": loss, "intent": intent, "tags": tags}


def freshly(encoder: nn.Module, n_intents: int, n_tags: int, config: ModelConfig, seed: int) -> JointModel:
    torch.manual_seed(seed)
    return JointModel(encoder, n_intents, n_tags, config)


def freeze(encoder: nn.Module, layers: int) -> None:
    """Freeze the token table and the first `layers` layers; 0 freezes nothing.

    Raises UserError: as many layers as there are, or more.
    """
    if not layers:
        return
    stack = layer_stack(encoder)
    if layers >= len(stack):
        raise UserError(
            f"joint_frozen_layers is {layers} and the encoder has {len(stack)}; leave at least one to train"
        )
    for module in (embedding_layer(encoder), *stack[:layers]):
        module.requires_grad_(False)
