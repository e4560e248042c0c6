"""Gradients of each row's own loss, from the one backward pass of the batch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from thresher.recording.row_signals import error_of
from thresher.recording.sketch import Signs, sketch
from thresher.recording.step import IGNORED, Step


def loss_scale(step: Step) -> Tensor:
    """What the gradients of the step must be divided by to be those of each row's own loss, (B,).

    The gradient at the logits is s e with e = softmax - onehot, and s is everything that a training does to
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
    """Whether the gradient at the logits is a multiple of softmax - onehot, as that of the mean cross-entropy is.

    Of rows that a diet weighs: of softmax - onehot times their weights. False where no gradient is known.
    """
    if gradient_at_logits(step) is None:
        return False
    gradient, error = _at_output(step)
    if float(error.norm()) < tolerance:
        # Every row is learned: a gradient of nothing tells nothing.
        return True
    cosine = functional.cosine_similarity(gradient.flatten(), error.flatten(), dim=0)
    return bool(cosine > 1 - tolerance**2 / 2)


def share_of_labels_raised(step: Step) -> float | None:
    """Of the labels whose loss has a gradient, the share whose own logit a step against the gradient raises most.

    Near 1 for the cross-entropy and what is made from it (weights, focal loss, smoothing, a teacher beside the labels), and
    near 1 / K where the loss compares the logits with other labels, as that of a language model does: its labels are those of
    the next position. None where no gradient is known.
    """
    gradient = gradient_at_logits(step)
    if gradient is None or not gradient.isfinite().all():
        return None
    size = gradient.norm(dim=-1)
    known = (step.labels != IGNORED) & (size > 1e-3 * size.max())
    if not known.any():
        return None
    return float((gradient.argmin(-1) == step.labels)[known].float().mean())


def gradient_at_logits(step: Step) -> Tensor | None:
    """The gradient at the logits, of their shape: captured there or, where none came, at the output of the last linear layer.

    The latter counts where a diet has weighed rows, which it does at that layer; and where the loss is made from other numbers
    than those that the model returns, as inside a model that trains in bfloat16 and returns float32.
    """
    logits, layer = step.logits, step.classifier.gradient
    if step.weight is None and step.output_gradient is not None:
        return step.output_gradient.float()
    if layer is None or layer.shape[-1] != logits.shape[-1] or layer.dim() < logits.dim():
        return None
    # Decoder-only models classify every token and use one: the gradient at the others is zero.
    return layer.float().sum(1) if layer.dim() > logits.dim() else layer.float()


def _at_output(step: Step) -> tuple[Tensor, Tensor]:
    """The gradient at the logits and softmax - onehot times the row's weight, of one shape."""
    error = error_of(step.logits, step.labels)
    if step.weight is not None:
        error = error * step.weight.view(-1, *[1] * (error.dim() - 1))
    gradient = gradient_at_logits(step)
    assert gradient is not None
    return gradient, error


def gives_logits(step: Step) -> bool:
    """Whether the last linear layer was called once in the step and gives as many numbers as there are classes."""
    gradient = step.classifier.gradient
    return gradient is not None and gradient.shape[-1] == step.logits.shape[-1]


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


def embedding_columns(step: Step, signs: Signs, width: int, right: bool) -> dict[str, Tensor]:
    """Squared norm (B,) and sketch (B, width) of the gradient of each row's own loss at the embeddings.

    `right`: padding is known to be at the end of rows.
    """
    assert step.embeddings.gradient is not None
    gradient, scale = step.embeddings.gradient.float(), loss_scale(step)  # (B, T, H), (B,)
    table = signs.up_to(gradient.shape[1], gradient.device)
    first = None if step.mask is None or right else step.mask.argmax(1)
    return {
        "squares": (torch.linalg.vector_norm(gradient, dim=(1, 2)) / scale).square(),
        "sketch": sketch(gradient, table, width, first) / scale[:, None],
    }
