"""What one visit tells of each row: loss, margin, length of the error, and gradient norms, from logits and labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from thresher.training.watch.tap import Step

IGNORED = -100


def error_of(logits: Tensor, labels: Tensor) -> Tensor:
    """softmax(logits) - onehot(labels), the gradient of the cross-entropy by the logits; 0 where the label is ignored.

    Shapes (..., K) and (...); float32.

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


def visit_of_rows(step: Step) -> dict[str, Tensor]:
    """Of a batch of B rows with one label each: `label`, `logits` (B, K).

    Loss, margin and the rest follow from the logits, and are computed once at the end.
    """
    return {"label": step.labels, "logits": step.logits.float()}


def visit_of_tokens(step: Step) -> dict[str, Tensor]:
    """Of a batch of B rows with a label per token, per row the mean over its labelled tokens; each (B,).

    `loss`: cross-entropy. `margin`: `margin_of`. `error_norm`: |softmax - onehot|, the EL2N of a token. `correct`: all
    tokens right. Rows without a labelled token get 0, and count as right.
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


def loss_scale(step: Step) -> Tensor:
    """What the gradients of the step must be divided by to be those of each row's own loss, (B,).

    The gradient at the classifier's output is s e with e = softmax - onehot, and s is everything that a training does to
    the sum of the rows' losses: the mean over the batch or over all batches of an accumulation, the number of processes,
    the scale of mixed precision. So s = <gradient, e> / <e, e>, whatever the reason. Of a row with n labelled tokens the
    own loss is their mean, which makes it s n; and a row that a diet weighs by w has s w.
    """
    gradient, error = _at_output(step)
    weight = step.seen.get("weight")
    scale = (gradient * error).sum() / error.square().sum().clamp(min=torch.finfo(torch.float32).tiny)
    counts = (step.labels != IGNORED).float()
    own = scale * (counts.sum(1).clamp(min=1) if counts.dim() == 2 else counts)
    return own if weight is None else own * weight


def is_cross_entropy(step: Step, tolerance: float = 0.05) -> bool:
    """Whether the gradient at the classifier's output is a multiple of softmax - onehot, as that of the mean cross-entropy is.

    Of rows that a diet weighs, of softmax - onehot times their weights.
    """
    gradient, error = _at_output(step)
    if float(error.norm()) < tolerance:
        # Every row is learned: a gradient of nothing tells nothing.
        return True
    cosine = functional.cosine_similarity(gradient.flatten(), error.flatten(), dim=0)
    return bool(cosine > 1 - tolerance**2 / 2)


def _at_output(step: Step) -> tuple[Tensor, Tensor]:
    """The gradient at the classifier's output and softmax - onehot, times the row's weight if it has one, of one shape."""
    error, weight = error_of(step.logits, step.labels), step.seen.get("weight")
    if weight is not None:
        error = error * weight.view(-1, *[1] * (error.dim() - 1))
    gradient = step.seen["classifier_grad"].float()
    # Decoder-only models classify every token and take one: the gradient at the others is zero.
    return gradient.sum(1) if gradient.dim() > error.dim() else gradient, error


def classifier_sq_norm(step: Step) -> Tensor:
    """|d loss / d W|^2 + |d loss / d bias|^2 of the last linear layer, (B,), by the ghost identity.

    For one vector a in and gradient b out it is (|a|^2 + 1) |b|^2, for a sequence the sum over positions t, s of
    (a_t . a_s + 1)(b_t . b_s); without bias there is no 1. Goodfellow (2015), arXiv 1510.01799.
    """
    a, b = step.seen["classifier_in"].float(), step.seen["classifier_grad"].float()
    one = float(step.seen["classifier_bias"])
    if a.dim() == 2:
        squared = (a.square().sum(1) + one) * b.square().sum(1)
    else:
        a_gram = torch.einsum("bth,bsh->bts", a, a) + one
        b_gram = torch.einsum("btk,bsk->bts", b, b)
        squared = torch.einsum("bts,bts->b", a_gram, b_gram)
    return squared / loss_scale(step).square()
