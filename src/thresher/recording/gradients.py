"""Gradients of each row's own loss, from the one backward pass of the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from thresher.recording.row_signals import error_of
from thresher.recording.step import IGNORED, Step


def loss_scale(step: Step) -> Tensor:
    """What the gradients of the step must be divided by to be those of each row's own loss, (B,).

    The gradient at the classifier's output is s e with e = softmax - onehot, and s is everything that a training does to
    the sum of the rows' losses: the mean over the batch or over all batches of an accumulation, the number of processes,
    the scale of mixed precision. So s = <gradient, e> / <e, e>, whatever the reason. The own loss of a row with n labelled
    tokens is their mean, which makes it s n; of a row that a diet weighs by w it is s w.
    """
    gradient, error = _at_output(step)
    scale = (gradient * error).sum() / error.square().sum().clamp(min=torch.finfo(torch.float32).tiny)
    counts = (step.labels != IGNORED).float()
    own = scale * (counts.sum(1).clamp(min=1) if counts.dim() == 2 else counts)
    return own if step.weight is None else own * step.weight


def is_cross_entropy(step: Step, tolerance: float = 0.05) -> bool:
    """Whether the gradient at the classifier's output is a multiple of softmax - onehot, as that of the mean cross-entropy is.

    Of rows that a diet weighs: of softmax - onehot times their weights.
    """
    gradient, error = _at_output(step)
    if float(error.norm()) < tolerance:
        # Every row is learned: a gradient of nothing tells nothing.
        return True
    cosine = functional.cosine_similarity(gradient.flatten(), error.flatten(), dim=0)
    return bool(cosine > 1 - tolerance**2 / 2)


def _at_output(step: Step) -> tuple[Tensor, Tensor]:
    """The gradient at the classifier's output and softmax - onehot times the row's weight, of one shape."""
    error = error_of(step.logits, step.labels)
    if step.weight is not None:
        error = error * step.weight.view(-1, *[1] * (error.dim() - 1))
    assert step.classifier.gradient is not None
    gradient = step.classifier.gradient.float()
    # Decoder-only models classify every token and use one: the gradient at the others is zero.
    return gradient.sum(1) if gradient.dim() > error.dim() else gradient, error


def classifier_sq_norm(step: Step) -> Tensor:
    """|d loss / d W|^2 + |d loss / d bias|^2 of the last linear layer, (B,), by the ghost identity.

    For one vector a in and gradient b out it is (|a|^2 + 1) |b|^2, for a sequence the sum over positions t, s of
    (a_t . a_s + 1)(b_t . b_s); without bias there is no 1. Goodfellow (2015), arXiv 1510.01799.
    """
    assert step.classifier.input is not None and step.classifier.gradient is not None
    a, b = step.classifier.input.float(), step.classifier.gradient.float()
    one = float(step.classifier.has_bias)
    if a.dim() == 2:
        squared = (a.square().sum(1) + one) * b.square().sum(1)
    else:
        a_gram = torch.einsum("bth,bsh->bts", a, a) + one
        b_gram = torch.einsum("btk,bsk->bts", b, b)
        squared = torch.einsum("bts,bts->b", a_gram, b_gram)
    return squared / loss_scale(step).square()
