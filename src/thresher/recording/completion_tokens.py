"""What a language model gave for each completion token of a batch: from its logits, or from trl's fused output layer."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from thresher.errors import UserError
from thresher.recording.step import IGNORED, Step

# Numbers of logits that are looked at together: a vocabulary is wide, and a copy of all of them in float32 would not fit. A
# processor has the few of them in its cache, a GPU is busy with the many.
AT_A_TIME = {"cpu": 2**18}
ON_A_GPU = 2**26


@dataclass(frozen=True)
class CompletionTokens:
    """The n completion tokens of a batch of B rows, those with a label, row after row; each (n,).

    `row` is the place of the token's row in the batch, `log_probability` that of the token, in nats, `entropy` that of the
    distribution that it was predicted by, in nats, `right` whether it was the most probable one. `error_norm` is the length of
    softmax - onehot, `margin` the token's logit minus the largest other one; None where the model does not tell.
    """

    row: Tensor
    log_probability: Tensor
    entropy: Tensor
    right: Tensor
    error_norm: Tensor | None
    margin: Tensor | None


@torch.no_grad()
def completion_tokens(step: Step) -> CompletionTokens | None:
    """The completion tokens of a step from the output of its forward pass; None where that has neither logits nor log_probs.

    Labels are those of the next position, as in every causal language model of transformers: the token at position t is
    predicted at t - 1.

    Raises UserError: the output is not one per token of the batch, or the rows of the tokens cannot be told.
    """
    labels = step.target[:, 1:]
    true = labels != IGNORED
    row = rows_of_tokens(step)[:, 1:][true]
    log_probs, logits = step.named("log_probs"), step.named("logits")
    if log_probs is not None:
        mask = step.named("label_mask")
        if log_probs.shape != labels.shape or mask is None or not mask.to(true.device).equal(true):
            raise UserError(
                f"the model gives log_probs {tuple(log_probs.shape)} for labels {tuple(step.target.shape)}, not one per token"
                " of the batch (prompt tuning? context parallelism?)"
            )
        return _of_fused(step, row, true.to(log_probs.device))
    if logits is None:
        return None
    if logits.shape[:-1] != step.target.shape:
        raise UserError(
            f"the model gives logits {tuple(logits.shape)} for labels {tuple(step.target.shape)}, not one per token of the"
            " batch (prompt tuning?)"
        )
    places = torch.nonzero(torch.nn.functional.pad(true, (0, 1)).flatten())[
        :, 0
    ]  # predicted one position before
    return CompletionTokens(row, **values_of(logits.flatten(0, 1), places, labels[true].long()))


def _of_fused(step: Step, row: Tensor, true: Tensor) -> CompletionTokens:
    """From the output of trl's fused layer, which has no logits."""
    log_probs, entropy, right = (step.named(name) for name in ("log_probs", "entropy", "is_top1"))
    if log_probs is None or entropy is None or right is None:
        raise UserError("the fused output layer of this trainer gives no entropy and is_top1; update trl")
    log_sum_sq = step.named("log_sum_sq_probs")
    log_p = log_probs[true].float()
    norm = None if log_sum_sq is None else error_norm(log_p, log_sum_sq[true].float())
    return CompletionTokens(
        row.to(log_p.device), log_p, entropy[true].float(), right[true].bool(), norm, None
    )


def error_norm(log_probability: Tensor, log_sum_sq: Tensor) -> Tensor:
    """|softmax - onehot| of tokens from log p_y and log(sum p^2), each (n,), without the distribution.

        sqrt( sum over k != y of p_k^2  +  (1 - p_y)^2 ),   the sum between 0 and (1 - p_y)^2

    >>> error_norm(torch.tensor([0.5]).log(), torch.tensor([0.5]).log()).tolist()
    [0.7071067690849304]
    """
    rest = -torch.expm1(log_probability)
    others = (2 * log_probability).exp() * torch.expm1(log_sum_sq - 2 * log_probability)
    return (rest.square() + others.clamp(min=0).minimum(rest.square())).sqrt()


def values_of(logits: Tensor, places: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """The values of the tokens `labels` (n,) whose logits stand at `places` (n,) of `logits` (M, V), a part of them at a time.

    >>> found = values_of(torch.tensor([[0.0, 0.0], [2.0, 0.0]]), torch.tensor([1]), torch.tensor([0]))
    >>> {name: round(float(value), 4) for name, value in found.items()}
    {'log_probability': -0.1269, 'entropy': 0.3653, 'right': 1.0, 'error_norm': 0.1686, 'margin': 2.0}
    """
    size = max(1, AT_A_TIME.get(logits.device.type, ON_A_GPU) // logits.shape[-1])
    chunks = zip(torch.split(places, size), torch.split(labels, size), strict=True)
    parts = [_part(logits[at], label) for at, label in chunks]
    names = ("log_probability", "entropy", "right", "error_norm", "margin")
    return {name: torch.cat([part[i] for part in parts]) for i, name in enumerate(names)}


def _part(logits: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
    """The values of tokens from their logits (n, V), which are overwritten."""
    at = labels[:, None]
    z = logits.float()
    true = z.gather(-1, at)
    # The other tokens alone: the difference of two numbers near 1 would lose what is left beside a token that is certain.
    z.scatter_(-1, at, -torch.inf)
    other = z.amax(-1, keepdim=True)
    # Of equal logits the first token is taken, as argmax does.
    right = true > other
    for tie in torch.nonzero(true == other)[:, 0].tolist():
        right[tie] = labels[tie] <= (z[tie] == other[tie]).nonzero()[0, 0]
    top = true.maximum(other)
    e = z.sub_(top).exp()
    z.scatter_(-1, at, 0.0)
    true_z = (true - top)[:, 0]
    of_true = true_z.exp()
    rest = e.sum(-1)
    total = rest + of_true
    # Products are added up pairwise: an inner product of as many numbers loses digits.
    entropy = total.log() - (z.mul_(e).sum(-1) + of_true * true_z) / total
    norm = ((e.square_().sum(-1) + rest.square()) / total.square()).sqrt()
    return true_z - total.log(), entropy, right[:, 0], norm, (true - other)[:, 0]


def rows_of_tokens(step: Step) -> Tensor:
    """The place in the batch of the row that each position belongs to, of the shape of the labels.

    Rows that a collator laid end to end in one line, as `padding_free` does, begin where the position is 0.

    Raises UserError: the lines are not the rows, and nothing says which rows they are made of.
    """
    count, labels = len(step.rows), step.target
    positions = step.inputs.get("position_ids")
    if labels.dim() == 2 and len(labels) == count:
        return torch.arange(count, device=labels.device)[:, None].expand_as(labels)
    if labels.dim() == 2 and len(labels) == 1 and isinstance(positions, Tensor):
        row = (positions == 0).long().cumsum(1) - 1
        # Positions that fill the line up are 0 as well, and have no label.
        if row.shape == labels.shape and (row[labels != IGNORED] < count).all():
            return row.to(labels.device)
    raise UserError(
        f"the batch of {count} rows has labels {tuple(labels.shape)}, and nothing says which row a token belongs to; with packing"
        " it cannot be told, so set packing=False (padding_free=True pads as little)"
    )
