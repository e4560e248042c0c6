"""A frozen encoder: every text is a vector that was computed once, and the head alone is a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from thresher.config import ModelConfig
from thresher.models.classifier import classification_head
from thresher.models.tokens import to_device


@dataclass(frozen=True)
class Features:
    """What the head is given for N rows, with the interface of `Tokens`.

    `values` (N, H) float32; `truncated` (N,) tells whether a text of the row was longer than the encoder takes.
    """

    values: NDArray[np.float32]
    truncated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Positions per row at which gradients are taken: one, the head's input."""
        return np.ones(len(self), np.int64)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Features:
        """The same for chosen rows."""
        at = np.asarray(rows, np.int64)
        return Features(self.values[at], self.truncated[at])

    def repeated(self, n: int) -> Features:
        """N rows that are all the first one, in the memory of one.

        >>> Features(np.ones((1, 2), np.float32), np.zeros(1, bool)).repeated(3).values.shape
        (3, 2)
        """
        values = torch.from_numpy(self.values[:1]).expand(n, -1).numpy()
        return Features(values, np.broadcast_to(self.truncated[:1], n))

    def batch(
        self, rows: Sequence[int] | NDArray[np.int64], device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        """The given rows, as the model takes them."""
        values = torch.from_numpy(self.values[np.asarray(rows, np.int64)])
        return {"features": to_device(values, device)}


def head_input(columns: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """What the head is given: the vector of the text, or for pairs [p, h, |p - h|, p * h].

    Source of the pairs' form: Conneau et al., EMNLP 2017 (InferSent), section 3.1.

    >>> one, other = np.array([[1.0, 2.0]], np.float32), np.array([[3.0, 1.0]], np.float32)
    >>> head_input([one, other]).tolist()
    [[1.0, 2.0, 3.0, 1.0, 2.0, 1.0, 3.0, 2.0]]
    """
    if len(columns) == 1:
        return columns[0]
    p, h = columns
    return np.concatenate([p, h, np.abs(p - h), p * h], axis=1)


class Given(nn.Module):
    """Stands where an encoder stands: hands on the vectors, and shows them as the output of its embeddings."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=width, num_hidden_layers=0, model_type="frozen")
        self.embeddings = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        vectors: Tensor = self.embeddings(features)
        return vectors


class FrozenClassifier(nn.Module):
    """The head on given features (batch, H); its weights have the names that they have in `Classifier`."""

    def __init__(self, width: int, n_classes: int, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = Given(width)
        self.head = classification_head(width, n_classes, config)

    def forward(self, features: Tensor, **inputs: Any) -> SequenceClassifierOutput:
        precise = features.to(next(self.head.parameters()).dtype)
        return SequenceClassifierOutput(logits=self.head(self.encoder(precise)))
