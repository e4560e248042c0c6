"""Measure the signals of one batch of rows, checkpoint by checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from thresher.models.classifier import Classifier
from thresher.models.frozen import FrozenClassifier
from thresher.signals.capture import embedding_leaf, layer_flow
from thresher.signals.ghost import rule_for

Weights = dict[str, Tensor]


def swap_weights(model: nn.Module, weights: Weights) -> None:
    """Point the parameters and buffers of a model at other tensors; nothing is copied."""
    for name, parameter in model.named_parameters():
        parameter.data = weights[name]
    for name, buffer in model.named_buffers():
        if name in weights:
            buffer.data = weights[name]


def measure_batch(
    model: Classifier | FrozenClassifier,
    checkpoints: Sequence[Weights],
    batch: dict[str, Tensor],
    labels: Tensor,
    layers: dict[str, list[nn.Module]],
    statistics: Sequence[str],
) -> dict[str, np.ndarray]:
    """Signals of a batch: one forward per checkpoint, one full backward, one that stops at the last encoder layer.

    Only what is requested is computed: no second backward without `layers`, no full backward without `statistics`.

    Parameters
    ----------
    model
        in eval mode, parameters without gradients.
    checkpoints
        the C weights that are put under the batch one after the other.
    batch
        padded inputs, (B, T).
    labels
        (B,) true classes.
    layers
        modules by the name of the signal that their squared gradient norms are summed into.
    statistics
        names of `STATISTICS`.

    Returns logits (B, C, K); one (B, C) array per entry of `layers`, |dloss/dW|^2; of the gradients g_c = d logit_true / d
    embedding output at checkpoint c what `statistics` names: see `gram` and `window_std`.
    """
    logits: list[Tensor] = []
    gradients: list[Tensor] = []
    norms: dict[str, list[Tensor]] = {name: [] for name in layers}
    modules = [module for group in layers.values() for module in group]
    with torch.set_grad_enabled(bool(modules or statistics)):
        for weights in checkpoints:
            swap_weights(model, weights)
            # Without statistics nothing below the layers takes a gradient, and nothing of it is kept for a backward.
            leaf: AbstractContextManager[dict[str, Tensor]] = (
                embedding_leaf(model) if statistics else nullcontext({})
            )
            with leaf as found, layer_flow(modules) as flow:
                output = model(**batch).logits
            logits.append(full(output.detach()))
            if modules:
                loss = nn.functional.cross_entropy(output, labels, reduction="sum")
                outputs = [flow[module][1] for module in modules]
                given = torch.autograd.grad(loss, outputs, retain_graph=bool(statistics))
                for name, norm in layer_norms(layers, flow, dict(zip(modules, given, strict=True))).items():
                    norms[name].append(norm)
            if statistics:
                true_logit = output.gather(1, labels[:, None]).sum()
                gradients.append(torch.autograd.grad(true_logit, found["embedding"])[0].flatten(1))
    stacked = torch.stack(gradients, 1) if gradients else torch.empty(0)  # (B, C, T * H)
    values = {
        "logits": torch.stack(logits, 1),
        **{name: STATISTICS[name](stacked) for name in statistics},
        **{name: torch.stack(by_checkpoint, 1) for name, by_checkpoint in norms.items()},
    }
    return {name: value.cpu().numpy() for name, value in values.items()}


def layer_norms(
    layers: Mapping[str, list[nn.Module]],
    flow: Mapping[nn.Module, tuple[Tensor, Tensor]],
    at_output: Mapping[nn.Module, Tensor],
) -> dict[str, Tensor]:
    """The squared norm of the loss gradient by the parameters of each group of modules, (B,), from those at their outputs."""
    return {
        name: torch.stack([squared_norm(one, flow[one][0], at_output[one]) for one in group]).sum(0)
        for name, group in layers.items()
    }


def squared_norm(module: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """Per row, the squared norm of the loss gradient by a module's parameters, (B,), from its input and output gradient."""
    rule = rule_for(module)
    assert rule is not None, type(module).__name__
    return rule.function(module, full(a), full(b))


def full(tensor: Tensor) -> Tensor:
    """In float32 at least: squares are not summed in half precision."""
    return tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor


def gram(gradients: Tensor) -> Tensor:
    """Inner products of a row's gradients at C checkpoints, (B, C, E) to (B, C, C): G[a, b] = <g_a, g_b>, in float64.

    The variance is a difference of large numbers, so the products are summed in float64.
    """
    return torch.stack([wide @ wide.T for wide in (row.double() for row in gradients)])


def window_std(gradients: Tensor) -> Tensor:
    """Standard deviations over all, early and late checkpoints summed over elements, (B, C, E) to (B, 3), in float64.

    Each is the square root of a mean of squares about the mean. That of all checkpoints comes from its halves, of m and n
    checkpoints: S = S_early + S_late + m n / (m + n) (mean_early - mean_late)^2.

    Source: Chan, Golub and LeVeque (1983), "Algorithms for computing the sample variance", The American Statistician 37.
    """
    count = gradients.shape[1]
    sizes = (count, count // 2, count - count // 2)
    stds = []
    for row in gradients:  # (C, E): a row at a time stays in the processor's cache
        halves = row[: sizes[1]], row[sizes[1] :]
        early, late = (half.mean(0) for half in halves)
        parts = [(half - mean).square_().sum(0) for half, mean in zip(halves, (early, late), strict=True)]
        between = (early - late).square_() * (sizes[1] * sizes[2] / count)
        squares = (between + parts[0] + parts[1], *parts)
        stds.append([(s / n).sqrt_().sum(dtype=torch.float64) for s, n in zip(squares, sizes, strict=True)])
    return torch.stack([torch.stack(row) for row in stds])


# What is kept of the gradients (B, C, E) of a row at every checkpoint, by the name of the signal.
STATISTICS: dict[str, Callable[[Tensor], Tensor]] = {"gradient_gram": gram, "gradient_std": window_std}
