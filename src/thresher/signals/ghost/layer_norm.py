"""Layer normalisation: gain and bias are vectors, so their per-row gradients are formed and are small."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thresher.signals.ghost import Flow, layer, positions


def layer_norm_product(module: nn.Module, ours: Flow, theirs: Flow) -> Tensor:
    """<dL/dgain, dL'/dgain> + <dL/dbias, dL'/dbias> of M rows with N rows, (M, N)."""
    return products(layer_norm_gradient(module, *ours), layer_norm_gradient(module, *theirs))


def layer_norm_output(module: nn.Module, a: Tensor) -> list[Tensor]:
    """x_hat * gain + bias, over the last dimension."""
    y = standardised(module, a) * module.weight  # type: ignore[operator]
    return [y if module.bias is None else y + module.bias]  # type: ignore[operator]


@layer("LayerNorm", product=layer_norm_product, formula=layer_norm_output)
def layer_norm(module: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """|dL/dgain|^2 + |dL/dbias|^2 of a layer normalisation, per row.

    y = x_hat * gain + bias with x_hat the normalised input, so dL/dgain = sum_t b_t * x_hat_t and dL/dbias = sum_t b_t.
    """
    return norms(layer_norm_gradient(module, a, b))


def layer_norm_gradient(module: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """[dL/dgain, dL/dbias] of every row, (batch, 2 width), or (batch, width) without a bias."""
    gain = summed(b * standardised(module, a))
    return gain if module.bias is None else torch.cat([gain, summed(b)], 1)


def standardised(module: nn.Module, a: Tensor) -> Tensor:
    """The input less its mean over the last dimension, over its standard deviation."""
    return nn.functional.layer_norm(a, a.shape[-1:], eps=module.eps)  # type: ignore[arg-type]


def summed(gradients: Tensor) -> Tensor:
    """Sum over positions: (batch, ..., width) to (batch, width), in float64."""
    return positions(gradients).sum(1, dtype=torch.float64)


def norms(gradients: Tensor) -> Tensor:
    """Squared norm of each row: (batch, width) to (batch,)."""
    return torch.einsum("bh,bh->b", gradients, gradients)


def products(ours: Tensor, theirs: Tensor) -> Tensor:
    """Inner products: (M, width) and (N, width) to (M, N)."""
    return torch.einsum("mh,nh->mn", ours, theirs)
