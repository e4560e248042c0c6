"""One training step: the rows of the batch, what the model gave for them, and what hooks captured on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

IGNORED = -100


@dataclass
class Capture:
    """What a layer got and what came back to it: its input, and the gradient at its output.

    The gradient stays None if the layer is called twice in one pass: neither of the two is the row's.
    """

    input: Tensor | None = None
    gradient: Tensor | None = None
    has_bias: bool = False
    calls: int = 0


@dataclass
class Step:
    """One forward and backward pass over B rows; `rows` (B,) are their numbers in the dataset.

    `inputs` is the batch as the model got it, `target` its labels, `output` what the model gave in its last of `passes`, `weight`
    (B,) what a diet multiplies the loss of each row by.
    """

    rows: Tensor
    inputs: dict[str, Any]
    target: Tensor
    output: Any = None
    passes: int = 0
    weight: Tensor | None = None
    classifier: Capture = field(default_factory=Capture)
    embeddings: Capture = field(default_factory=Capture)

    def __post_init__(self) -> None:
        self.target = self.target.where(self.target >= 0, IGNORED)

    @property
    def labels(self) -> Tensor:
        """(B,), or (B, T) of a token classifier; `IGNORED` for any label below 0."""
        logits = self.named("logits")
        return self.target.flatten() if logits is not None and logits.dim() == 2 else self.target

    @property
    def mask(self) -> Tensor | None:
        """(B, T), 1 for tokens and 0 for padding, where the batch has it."""
        return self.inputs.get("attention_mask")

    @property
    def logits(self) -> Tensor:
        """(B, K) or (B, T, K), detached."""
        found = self.named("logits")
        assert found is not None
        return found

    def named(self, name: str) -> Tensor | None:
        """A tensor of the output by its name, detached; None where there is none."""
        found = self.output.get(name) if isinstance(self.output, dict) else getattr(self.output, name, None)
        return found.detach() if isinstance(found, Tensor) else None
