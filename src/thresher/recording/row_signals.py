"""The signals of each row from one training step, from logits and labels: loss, margin and length of the error."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from thresher.recording.step import IGNORED, Step


def error_of(logits: Tensor, labels: Tensor) -> Tensor:
    """softmax(logits) - onehot(labels), the gradient of the cross-entropy by the logits; 0 where the label is ignored.

    Shapes (..., K) and (...); at least float32.

    >>> error_of(torch.zeros(2, 2), torch.tensor([1, -100])).tolist()
    [[0.5, -0.5], [0.0, 0.0]]
    """
    true = labels != IGNORED
    target = functional.one_hot(labels.where(true, 0).long(), logits.shape[-1])
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return (wide.softmax(-1) - target).where(true[..., None], 0.0)


def margin_of(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the true class minus the largest other one; shapes (..., K) and (...).

    >>> margin_of(torch.tensor([[1.0, 3.0, 2.0]]), torch.tensor([1])).tolist()
    [1.0]
    """
    at = labels.where(labels != IGNORED, 0).long()[..., None]
    logits = logits.float()
    return (logits.gather(-1, at) - logits.scatter(-1, at, -torch.inf).amax(-1, keepdim=True))[..., 0]


def row_signals(step: Step) -> dict[str, Tensor]:
    """Of B rows with one label each: `label` (B,), `logits` (B, K). The rest follows from them once, at the end."""
    return {"label": step.labels, "logits": step.logits.float()}


def token_signals(step: Step) -> dict[str, Tensor]:
    """Of B rows with a label per token, the mean over the labelled tokens of each row; each (B,).

    `loss`: cross-entropy. `margin`: `margin_of`. `error_norm`: |softmax - onehot|, the EL2N of a token. `correct`: whether all
    tokens are right. Rows without a labelled token get 0, and count as right.
    """
    labels, logits = step.labels, step.logits.float()
    true = (labels != IGNORED).float()
    count = true.sum(1).clamp(min=1)
    loss = functional.cross_entropy(
        logits.transpose(1, 2), labels.long(), ignore_index=IGNORED, reduction="none"
    )
    wrong = (logits.argmax(-1) != labels) * true
    return {
        "loss": loss.sum(1) / count,
        "margin": (margin_of(logits, labels) * true).sum(1) / count,
        "error_norm": torch.linalg.vector_norm(error_of(logits, labels), dim=-1).sum(1) / count,
        "correct": wrong.sum(1) == 0,
    }
