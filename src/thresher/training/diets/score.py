"""The score that a diet ranks rows by, from a training step or a scoring pass: one number per row, high for hard rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from thresher.errors import UserError
from thresher.recording.row_signals import error_of, token_signals
from thresher.recording.step import IGNORED, Step

RowScore = Callable[[Step], Tensor]


def loss(step: Step) -> Tensor:
    """Cross-entropy of each row, of a row with labelled tokens their mean; (B,)."""
    if step.labels.dim() == 2:
        return token_signals(step)["loss"]
    return torch.nn.functional.cross_entropy(
        step.logits.float(), step.labels.long(), ignore_index=IGNORED, reduction="none"
    )


def el2n(step: Step) -> Tensor:
    """|softmax - onehot| of each row, of a row with labelled tokens their mean; (B,)."""
    return _error_norm(step.logits, step.labels)


def joint(heads: Sequence[tuple[str, str]]) -> RowScore:
    """The EL2N of a model with several heads, the mean of theirs; `heads` are names of (logits, labels).

    For intent and slots: joint([("intent_logits", "intent_labels"), ("slot_logits", "slot_labels")]).
    """

    def score(step: Step) -> Tensor:
        norms = []
        for logits, labels in heads:
            found = step.named(logits)
            if found is None or labels not in step.inputs:
                raise UserError(f"the model gives no '{logits}', or the batch has no '{labels}'")
            norms.append(_error_norm(found, step.inputs[labels]))
        return torch.stack(norms).mean(0)

    return score


def _error_norm(logits: Tensor, labels: Tensor) -> Tensor:
    norm = torch.linalg.vector_norm(error_of(logits, labels), dim=-1)
    if norm.dim() == 1:
        return norm
    return norm.sum(1) / (labels != IGNORED).sum(1).clamp(min=1)


SCORES: dict[str, RowScore] = {"loss": loss, "el2n": el2n}
