"""One training step: the rows of the batch, what the model gave for them, and what hooks captured on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from thresher.recording.completion_tokens import CompletionTokens

IGNORED = -100
LABELS = ("labels", "label", "label_ids")
# Where models put their logits: those of transformers, and the cross-encoders of sentence-transformers.
LOGITS = ("logits", "scores")


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

    `inputs` is the batch as the model got it, `target` its labels, `output` what the model gave in its last of `passes`,
    `output_gradient` the gradient at the logits in it, `loss` what the trainer returned for the step, `weight` (B,) what a diet
    multiplies the loss of each row by. Of a language model `completion` is what its tokens gave, in place of the output, which is
    not kept; `num_items` is the number of tokens that the trainer divides their summed loss by, where it does.
    """

    rows: Tensor
    inputs: dict[str, Any]
    target: Tensor
    output: Any = None
    passes: int = 0
    output_gradient: Tensor | None = None
    loss: Tensor | None = None
    weight: Tensor | None = None
    completion: CompletionTokens | None = None
    num_items: Tensor | int | None = None
    has_aux_loss: bool = False
    classifier: Capture = field(default_factory=Capture)
    embeddings: Capture = field(default_factory=Capture)

    def __post_init__(self) -> None:
        self.target = self.target.where(self.target >= 0, IGNORED)

    def ignore_others_than(self, classes: int) -> None:
        """Labels without a logit are ignored: a loss that took them would have ended the training."""
        self.target = self.target.where(self.target < classes, IGNORED)

    @property
    def labels(self) -> Tensor:
        """(B,), or (B, T) of a token classifier; `IGNORED` for any label below 0."""
        logits = self.raw_logits
        return self.target.flatten() if logits is not None and logits.dim() == 2 else self.target

    @property
    def mask(self) -> Tensor | None:
        """(B, T), 1 for tokens and 0 for padding, where the batch has it."""
        return self.inputs.get("attention_mask")

    @property
    def logits(self) -> Tensor:
        """(B, K) or (B, T, K), detached."""
        found = self.raw_logits
        assert found is not None
        return found.detach()

    @property
    def raw_logits(self) -> Tensor | None:
        """The logits as the model returned them, under one of `LOGITS`; None where there are none."""
        found = (self._given(name) for name in LOGITS)
        return next((one for one in found if one is not None), None)

    def named(self, name: str) -> Tensor | None:
        """A tensor of the output by its name, detached; None where there is none."""
        found = self._given(name)
        return None if found is None else found.detach()

    def _given(self, name: str) -> Tensor | None:
        found = self.output.get(name) if isinstance(self.output, dict) else getattr(self.output, name, None)
        return found if isinstance(found, Tensor) else None
