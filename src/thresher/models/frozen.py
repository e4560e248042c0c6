"""The classifier on a frozen encoder: every text is a vector that is computed once, and only the head is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.modeling_outputs import SequenceClassifierOutput

from thresher.config import ModelConfig
from thresher.models.classifier import classification_head
from thresher.models.tokens import to_device

Vectors = NDArray[np.float32] | NDArray[np.float16]


@dataclass(frozen=True)
class Features:
    """The inputs of the head for N rows, with the interface of `Tokens`.

    `values` (N, H) in single or half precision, in memory or memory-mapped; the head takes them in single precision.
    `truncated` (N,): whether a text of the row exceeded the length limit of the encoder.
    """

    values: Vectors
    truncated: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Positions per row at which gradients are taken: one, the input of the head."""
        return np.ones(len(self), np.int64)

    def take(self, rows: Sequence[int] | NDArray[np.int64]) -> Features:
        at = np.asarray(rows, np.int64)
        return Features(self.values[at], self.truncated[at])

    def repeated(self, n: int) -> Features:
        """The first row N times, without copying it.

        >>> Features(np.ones((1, 2), np.float32), np.zeros(1, bool)).repeated(3).values.shape
        (3, 2)
        """
        values = torch.from_numpy(self.values[:1]).expand(n, -1).numpy()
        return Features(values, np.broadcast_to(self.truncated[:1], n))

    def batch(
        self, rows: Sequence[int] | NDArray[np.int64], device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        values = torch.from_numpy(self.values[np.asarray(rows, np.int64)])
        return {"features": to_device(values.float(), device)}


def head_input(columns: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The input of the head: the vector of the text, or for pairs [p, h, |p - h|, p * h].

    Source for pairs: Conneau et al., EMNLP 2017 (InferSent), section 3.1.

    >>> one, other = np.array([[1.0, 2.0]], np.float32), np.array([[3.0, 1.0]], np.float32)
    >>> head_input([one, other]).tolist()
    [[1.0, 2.0, 3.0, 1.0, 2.0, 1.0, 3.0, 2.0]]
    """
    if len(columns) == 1:
        return columns[0]
    p, h = columns
    return np.concatenate([p, h, np.abs(p - h), p * h], axis=1)


class PassThrough(nn.Module):
    """Takes the place of the encoder: returns the vectors, which are also the output of its `embeddings`."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=width, num_hidden_layers=0, model_type="frozen")
        self.embeddings = nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        vectors: Tensor = self.embeddings(features)
        return vectors


class FrozenClassifier(nn.Module):
    """The head on features (batch, H); its weights have the same names as in `Classifier`."""

    def __init__(self, width: int, n_classes: int, config: ModelConfig) -> None:
        super().__init__()
        self.encoder = PassThrough(width)
        self.head = classification_head(width, n_classes, config)

    def forward(self, features: Tensor, **inputs: Tensor) -> SequenceClassifierOutput:
        precise = features.to(next(self.head.parameters()).dtype)
        return SequenceClassifierOutput(logits=self.head(self.encoder(precise)))
