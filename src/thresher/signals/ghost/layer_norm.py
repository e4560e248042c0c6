"""Layer normalisation: gain and bias are vectors, so their per-row gradients are formed and are small."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thresher.signals.ghost import ghost_norm


@ghost_norm("LayerNorm")
def layer_norm(module: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """|dL/dgain|^2 + |dL/dbias|^2 of a layer normalisation, per row.

    y = x_hat * gain + bias with x_hat the normalised input, so dL/dgain = sum_t b_t * x_hat_t and dL/dbias = sum_t b_t.
    """
    x_hat = nn.functional.layer_norm(a, module.normalized_shape, eps=module.eps)  # type: ignore[arg-type]
    return vector_norms(b * x_hat) + (0 if getattr(module, "bias", None) is None else vector_norms(b))


@ghost_norm("*RMSNorm")
def rms_norm(module: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """|dL/dgain|^2 of a root-mean-square normalisation y = x / rms(x) * gain, per row."""
    eps = float(getattr(module, "variance_epsilon", getattr(module, "eps", 1e-6)))  # type: ignore[arg-type]
    return vector_norms(b * a * torch.rsqrt(a.pow(2).mean(-1, keepdim=True) + eps))


def vector_norms(gradients: Tensor) -> Tensor:
    """Squared norm of the sum over positions: (batch, tokens, width) or (batch, width) to (batch,)."""
    summed = gradients.double() if gradients.dim() == 2 else gradients.double().sum(1)
    return torch.einsum("bh,bh->b", summed, summed)
