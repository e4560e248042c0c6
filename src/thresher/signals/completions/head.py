"""From hidden states to what is kept of the logits of completion tokens, a part of the tokens at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from thresher.recording.completion_tokens import values_of
from thresher.signals.completions.model import LanguageModel

# Logits that are held at a time.
HELD = {"cpu": 2**24}
ON_A_GPU = 2**28


@dataclass
class FromHead:
    """What the head gave for n completion tokens of B rows.

    `values`: by name, (n,), as `recording.completion_tokens.values_of`. `true_logit` (n, H): the gradient of each token's own
    logit by its hidden state; `loss` (n, H): that of its loss. `sq_norm` (B,): |d (sum of a row's token losses) / dW|^2 of the
    head's weight W, and of its bias if it has one, in float64. None where it was not asked for.
    """

    values: dict[str, Tensor]
    true_logit: Tensor | None = None
    loss: Tensor | None = None
    sq_norm: Tensor | None = None


def from_head(
    model: LanguageModel,
    hidden: Tensor,
    labels: Tensor,
    number: list[int],
    *,
    true_logit: bool = False,
    loss: bool = False,
    sq_norm: bool = False,
) -> FromHead:
    """Read the hidden states (n, H) of completion tokens `labels` (n,), of which each row has `number`.

    The squared norm is by the ghost identity: the sum over tokens t, s of a row of (h_t . h_s)(e_t . e_s), with h the hidden
    state (and a 1 for the bias) and e = softmax - onehot: two T x T matrices instead of one of the size of W.
    """
    hidden = hidden.detach()
    out = FromHead(
        {},
        torch.empty_like(hidden) if true_logit else None,
        torch.empty_like(hidden) if loss else None,
        torch.zeros(len(number), dtype=torch.float64, device=hidden.device) if sq_norm else None,
    )
    parts: list[dict[str, Tensor]] = []
    given = pad(hidden, (0, 1), value=1.0) if getattr(model.head, "bias", None) is not None else hidden
    size = max(1, HELD.get(hidden.device.type, ON_A_GPU) // model.vocabulary)
    for rows, spans in groups(number, size):
        error = None
        for span in spans:
            values, error = _span(model, hidden, labels, span, out)
            parts.append(values)
        if out.sq_norm is None:
            continue
        if len(spans) == 1:
            assert error is not None
            ends = torch.tensor([0, *number[rows]]).cumsum(0).tolist()
            for row, start, end in zip(range(len(number))[rows], ends[:-1], ends[1:], strict=True):
                h = given[spans[0]][start:end]
                out.sq_norm[row] = _products(error[start:end], h, error[start:end], h)
        else:
            out.sq_norm[rows.start] = _long_row(model, hidden, given, labels, spans)
    out.values = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    return out


def groups(number: list[int], size: int) -> Iterator[tuple[slice, list[slice]]]:
    """Rows with these numbers of tokens in groups: which rows, and their tokens in spans of at most `size`.

    A group has several rows and one span, or one row and several spans.

    >>> list(groups([2, 1, 5, 1], 4))  # doctest: +NORMALIZE_WHITESPACE
    [(slice(0, 2, None), [slice(0, 3, None)]),
     (slice(2, 3, None), [slice(3, 7, None), slice(7, 8, None)]),
     (slice(3, 4, None), [slice(8, 9, None)])]
    """
    first = start = 0
    while first < len(number):
        last, end = first + 1, start + number[first]
        while last < len(number) and end + number[last] - start <= size:
            end += number[last]
            last += 1
        cuts = range(start, end, size)
        yield slice(first, last), [slice(at, min(at + size, end)) for at in cuts]
        first, start = last, end


def _span(
    model: LanguageModel, hidden: Tensor, labels: Tensor, span: slice, out: FromHead
) -> tuple[dict[str, Tensor], Tensor | None]:
    """The values of some tokens, and their softmax - onehot (m, V) where the loss is differentiated; fills the gradients."""
    h, y = hidden[span], labels[span]
    wanted = out.true_logit is not None or out.loss is not None
    with torch.set_grad_enabled(wanted and not model.plain):
        leaf = h if model.plain else h.clone().requires_grad_(wanted)
        logits = model.logits(leaf)
    with torch.no_grad():
        values = values_of(logits.detach(), torch.arange(len(y), device=y.device), y)
    if out.true_logit is not None:
        if model.plain:
            out.true_logit[span] = model.head.weight[y]  # type: ignore[index]
        else:
            own = logits.gather(1, y[:, None]).sum()
            out.true_logit[span] = torch.autograd.grad(own, leaf, retain_graph=out.loss is not None)[0]
    if out.loss is None and out.sq_norm is None:
        return values, None
    error = softmax_minus_onehot(logits.detach() if model.plain else logits.detach().clone(), y)
    if out.loss is not None:
        if model.plain:
            out.loss[span] = error.to(h.dtype) @ model.head.weight  # type: ignore[operator]
        else:
            out.loss[span] = torch.autograd.grad(logits, leaf, error.to(logits.dtype))[0]
    return values, error


def softmax_minus_onehot(logits: Tensor, labels: Tensor) -> Tensor:
    """softmax(z) - onehot(y) in float32, (n, V); overwrites the logits if they are float32.

    The entry of y is minus the sum of the others: p_y - 1 would lose what is left beside a token that is certain.

    >>> softmax_minus_onehot(torch.tensor([[0.0, 0.0], [40.0, 0.0]]), torch.tensor([0, 0])).tolist()
    [[-0.5, 0.5], [-4.24835413113866e-18, 4.24835413113866e-18]]
    """
    at = labels[:, None]
    z = logits.float()
    true = z.gather(1, at)
    z.scatter_(1, at, -torch.inf)
    top = true.maximum(z.amax(1, keepdim=True))
    z.sub_(top).exp_()
    rest = z.sum(1, keepdim=True)
    total = rest + (true - top).exp()
    return z.div_(total).scatter_(1, at, -rest / total)


def _products(error: Tensor, hidden: Tensor, other_error: Tensor, other_hidden: Tensor) -> Tensor:
    """The sum over tokens t and s of (e_t . e'_s)(h_t . h'_s)."""
    h, other = hidden.float(), other_hidden.float()
    return ((error @ other_error.T).double() * (h @ other.T).double()).sum()


def _long_row(
    model: LanguageModel, hidden: Tensor, given: Tensor, labels: Tensor, spans: list[slice]
) -> Tensor:
    """The squared norm of a row whose logits are not held at once: of each pair of its spans."""

    def error(span: slice) -> Tensor:
        return softmax_minus_onehot(model.logits(hidden[span]), labels[span])

    total = torch.zeros((), dtype=torch.float64, device=hidden.device)
    with torch.no_grad():
        for i, first in enumerate(spans):
            ours = error(first)
            total += _products(ours, given[first], ours, given[first])
            for second in spans[i + 1 :]:
                total += 2 * _products(ours, given[first], error(second), given[second])
    return total
