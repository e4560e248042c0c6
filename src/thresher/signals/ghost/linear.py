"""Linear layers, on a sequence or on one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thresher.signals.ghost import ghost_norm


@ghost_norm("Linear", "NonDynamicallyQuantizableLinear", "Conv1D")
def linear(module: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """|dL/dW|^2 + |dL/dbias|^2 of a linear layer, per row.

    With dL/dW = sum_t b_t a_t^T, the squared norm is sum over positions t, s of (a_t . a_s)(b_t . b_s): two T x T Gram
    matrices instead of an out x in matrix per row. For one vector it is |a|^2 |b|^2. `Conv1D` is GPT-2's transposed linear
    layer; the norm is the same.

    Source: Goodfellow (2015), "Efficient per-example gradient computations", arXiv 1510.01799; Li et al. (2022),
    "Large language models can be strong differentially private learners", arXiv 2110.05679, section 4.

    >>> layer = nn.Linear(2, 1)
    >>> a, b = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0]]])
    >>> linear(layer, a, b).tolist()  # dW = [3, 6], dbias = 3
    [54.0]
    """
    if a.dim() == 2:
        a, b = a[:, None], b[:, None]
    a_gram = torch.einsum("bti,bsi->bts", a, a).double()
    b_gram = torch.einsum("bto,bso->bts", b, b).double()
    weight = torch.einsum("bts,bts->b", a_gram, b_gram)
    return weight if getattr(module, "bias", None) is None else weight + b_gram.sum((1, 2))
