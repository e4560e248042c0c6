"""Everything that one batch of rows gives, checkpoint after checkpoint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from thresher.model.classifier import Classifier
from thresher.model.frozen import FrozenClassifier
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


def measure_logits(
    model: Classifier | FrozenClassifier, checkpoints: Sequence[Weights], batch: dict[str, Tensor]
) -> dict[str, np.ndarray]:
    """Logits (batch, checkpoints, classes) only: what the averaged scores need of further runs."""
    logits = []
    with torch.no_grad():
        for weights in checkpoints:
            swap_weights(model, weights)
            logits.append(model(**batch).logits)
    return {"logits": torch.stack(logits, 1).cpu().numpy()}


def measure_batch(
    model: Classifier | FrozenClassifier,
    checkpoints: Sequence[Weights],
    batch: dict[str, Tensor],
    labels: Tensor,
    layers: dict[str, list[nn.Module]],
) -> dict[str, np.ndarray]:
    """All signals of a batch: one forward per checkpoint, one full backward, one that stops at the last encoder layer.

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

    Returns
    -------
    logits (B, C, K); gradient_gram (B, C, C) with G[a, b] = <g_a, g_b>, g_c = d logit_true / d embedding output at
    checkpoint c; gradient_std (B, 3), the sum over tokens and dims of the standard deviation over all, early and late
    checkpoints; one (B, C) array per entry of `layers`, |dloss/dW|^2.
    """
    logits: list[Tensor] = []
    gradients: list[Tensor] = []
    norms: dict[str, list[Tensor]] = {name: [] for name in layers}
    modules = [module for group in layers.values() for module in group]
    for weights in checkpoints:
        swap_weights(model, weights)
        with embedding_leaf(model) as found, layer_flow(modules) as flow:
            output = model(**batch).logits
        logits.append(output.detach())
        if modules:
            loss = nn.functional.cross_entropy(output, labels, reduction="sum")
            outputs = [flow[module][1] for module in modules]
            at_output = dict(zip(modules, torch.autograd.grad(loss, outputs, retain_graph=True), strict=True))
            for name, group in layers.items():
                rows = [rule_for(module)(module, flow[module][0], at_output[module]) for module in group]  # type: ignore[misc]
                norms[name].append(torch.stack(rows).sum(0))
        true_logit = output.gather(1, labels[:, None]).sum()
        gradients.append(torch.autograd.grad(true_logit, found["embedding"])[0])
    return {
        "logits": torch.stack(logits, 1).cpu().numpy(),
        **gradient_moments(torch.stack(gradients, 1)),
        **{name: torch.stack(values, 1).cpu().numpy() for name, values in norms.items()},
    }


def gradient_moments(gradients: Tensor) -> dict[str, np.ndarray]:
    """Gram matrix over checkpoints and summed standard deviations, in float64, from (B, C, T, H) gradients.

    The variance is a difference of large numbers, so the products are summed in float64.
    """
    flat = gradients.double().flatten(2)
    gram = torch.einsum("bce,bde->bcd", flat, flat)
    half = flat.shape[1] // 2
    windows = (flat, flat[:, :half], flat[:, half:])
    std = torch.stack([window.std(1, correction=0).sum(1) for window in windows], 1)
    return {"gradient_gram": gram.cpu().numpy(), "gradient_std": std.cpu().numpy()}
