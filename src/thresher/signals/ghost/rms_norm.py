"""Root-mean-square normalisation, in every variant whose gain multiplies the normalised input."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thresher.signals.ghost import Flow, layer
from thresher.signals.ghost.layer_norm import norms, products, summed


def rms_norm_product(module: nn.Module, ours: Flow, theirs: Flow) -> Tensor:
    """<dL/dgain, dL'/dgain> of M rows with N rows, (M, N)."""
    return products(rms_norm_gradient(module, *ours), rms_norm_gradient(module, *theirs))


def rms_norm_output(module: nn.Module, a: Tensor) -> list[Tensor]:
    """x / rms(x) times the gain, or times one more than the gain."""
    scaled, gain = over_rms(module, a), module.weight
    return [scaled * gain, scaled * (1 + gain)]  # type: ignore[operator]


@layer("*RMSNorm", product=rms_norm_product, formula=rms_norm_output)
def rms_norm(module: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """|dL/dgain|^2 of a root-mean-square normalisation, per row.

    y = x / rms(x) * gain (Llama, Qwen2) or y = x / rms(x) * (1 + gain) (Gemma): in both dL/dgain = sum_t b_t * x_t / rms(x_t).
    A variant that scales elsewhere, or by more, is recognised by its output and refused.
    """
    return norms(rms_norm_gradient(module, a, b))


def rms_norm_gradient(module: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """dL/dgain of every row, (batch, width)."""
    return summed(b * over_rms(module, a))


def over_rms(module: nn.Module, a: Tensor) -> Tensor:
    """x / sqrt(mean(x^2) + eps) over the last dimension."""
    eps = getattr(module, "variance_epsilon", getattr(module, "eps", None))
    # torch's own RMSNorm without an eps takes the smallest step of the type.
    floor = torch.finfo(a.dtype).eps if eps is None else float(eps)
    return a * torch.rsqrt(a.pow(2).mean(-1, keepdim=True) + floor)
