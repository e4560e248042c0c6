"""Measure one batch of rows whose target is a text."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thresher.errors import UserError
from thresher.recording.completion_signals import Places, packed, token_means
from thresher.recording.model_hooks import embeddings_of
from thresher.signals.batch import gram, layer_norms
from thresher.signals.capture import layer_flow, leaf_at
from thresher.signals.completions.head import from_head
from thresher.signals.completions.layers import HEAD
from thresher.signals.completions.model import LanguageModel
from thresher.signals.completions.rows import CompletionBatch

Values = dict[str, NDArray[np.generic]]


@dataclass(frozen=True)
class Wanted:
    """What is measured of gradients: `gram` at the embeddings, `head` the norm at the output layer, and norms of `layers`."""

    gram: bool
    head: bool
    layers: dict[str, list[nn.Module]]


def measure_batch(
    model: LanguageModel, weights: Sequence[Callable[[], None]], batch: CompletionBatch, wanted: Wanted
) -> Values:
    """The signals of a batch of B rows at C checkpoints, by name (B, C, ...): one forward and at most two backward passes each.

    A backward pass takes the gradients at the hidden states and goes down from there: that of the true tokens' logits to the
    embeddings, that of the loss to the deepest of the layers.
    """
    by_checkpoint: dict[str, list[NDArray[np.generic]]] = {}
    gradients: list[Tensor] = []
    for put in weights:
        put()
        values, gradient = _at_checkpoint(model, batch, wanted)
        for name, value in values.items():
            by_checkpoint.setdefault(name, []).append(value)
        if gradient is not None:
            gradients.append(gradient)
    found = {name: np.stack(values, 1) for name, values in by_checkpoint.items()}
    if gradients:
        found["gradient_gram"] = gram(torch.stack(gradients, 1)).cpu().numpy()
    return found


def row_means(model: LanguageModel, batch: CompletionBatch) -> Values:
    """What the completion tokens of B rows give with the weights that the model has; each (B,). No gradients."""
    return _at_checkpoint(model, batch, Wanted(False, False, {}))[0]


def _at_checkpoint(
    model: LanguageModel, batch: CompletionBatch, wanted: Wanted
) -> tuple[Values, Tensor | None]:
    """The signals at one checkpoint, each (B,), and the gradient at the embeddings (B, T * H)."""
    modules = [module for group in wanted.layers.values() for module in group]
    with (
        torch.set_grad_enabled(wanted.gram or bool(modules)),
        _embedding_leaf(model, wanted.gram) as leaf,
        layer_flow(modules) as flow,
    ):
        hidden = model.hidden_states(batch.inputs)
    number = batch.number.tolist()
    of_head = from_head(
        model,
        hidden.detach().flatten(0, 1)[batch.places],
        batch.labels,
        number,
        true_logit=wanted.gram,
        loss=bool(modules),
        sq_norm=wanted.head,
    )

    def at_hidden(gradient: Tensor) -> Tensor:
        spread = torch.zeros_like(hidden)
        spread.flatten(0, 1)[batch.places] = gradient
        return spread

    found = _signals(of_head.values, batch)
    if of_head.sq_norm is not None:
        found[HEAD] = (of_head.sq_norm / batch.number.double().square()).cpu().numpy()
    if of_head.loss is not None:
        of_mean = at_hidden(of_head.loss / batch.number[batch.row, None])
        outputs = [flow[module][1] for module in modules]
        given = torch.autograd.grad(hidden, outputs, of_mean, retain_graph=wanted.gram)
        norms = layer_norms(wanted.layers, flow, dict(zip(modules, given, strict=True)))
        found |= {name: norm.cpu().numpy() for name, norm in norms.items()}
    if of_head.true_logit is None:
        return found, None
    (gradient,) = torch.autograd.grad(hidden, leaf["embedding"], at_hidden(of_head.true_logit))
    return found, gradient.flatten(1)


def _signals(values: dict[str, Tensor], batch: CompletionBatch) -> Values:
    """The means over the tokens of each row, which tokens were right, and the loss of each."""
    found = token_means(values, Places(batch.row, batch.number))
    right = found.pop("token_right")
    number = batch.number.cpu().numpy()
    return {
        **{name: value.cpu().numpy() for name, value in found.items()},
        "token_right": packed(right.cpu().numpy(), number),
        "token_loss": lists_of(-values["log_probability"].cpu().numpy(), number),
    }


def lists_of(values: NDArray[np.generic], number: NDArray[np.int64]) -> NDArray[np.generic]:
    """Values (n,) of which each of B rows has `number`, as B arrays.

    >>> [one.tolist() for one in lists_of(np.array([1.0, 2.0, 3.0]), np.array([2, 1]))]
    [[1.0, 2.0], [3.0]]
    """
    found = np.empty(len(number), object)
    found[:] = np.split(values, np.cumsum(number)[:-1])
    return found


def _embedding_leaf(
    model: LanguageModel, wanted: bool
) -> contextlib.AbstractContextManager[dict[str, Tensor]]:
    if not wanted:
        return contextlib.nullcontext({})
    layer = embeddings_of(model.model)
    if layer is None:
        raise UserError(
            f"gradient_gram: {type(model.causal).__name__} has no one layer of embeddings; leave the signal out"
        )
    return leaf_at(layer, copied=True)
