"""Linear layers, on a sequence or on one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from thresher.signals.ghost import Flow, layer, positions

NAMES = ("Linear", "NonDynamicallyQuantizableLinear", "Conv1D")


def linear_product(module: nn.Module, ours: Flow, theirs: Flow) -> Tensor:
    """<dL/dW, dL'/dW> + <dL/dbias, dL'/dbias> of M rows with N rows, (M, N).

    The sum over positions t of the one row and s of the other of (a_t . a'_s)(b_t . b'_s). For texts this is less work than
    one out x in gradient per row: it costs T (in + out) for every position of the other row, the gradient in * out.

    >>> layer = nn.Linear(2, 1)
    >>> one = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0]]])  # dW = [3, 6], dbias = 3
    >>> other = torch.tensor([[[1.0, 0.0]]]), torch.tensor([[[-1.0]]])  # dW = [-1, 0], dbias = -1
    >>> linear_product(layer, one, other).tolist()
    [[-6.0]]
    """
    a, b = map(positions, ours)
    other_a, other_b = map(positions, theirs)
    products = torch.einsum("mti,nsi->mtns", a, other_a)
    products *= torch.einsum("mto,nso->mtns", b, other_b)
    weight = products.sum((1, 3), dtype=torch.float64)
    if getattr(module, "bias", None) is None:
        return weight
    return weight + torch.einsum("mo,no->mn", b.double().sum(1), other_b.double().sum(1))


def linear_output(module: nn.Module, a: Tensor) -> list[Tensor]:
    """W a + bias; `Conv1D` keeps W transposed."""
    weight, bias = module.weight, getattr(module, "bias", None)
    transposed = type(module).__name__ == "Conv1D"
    return [nn.functional.linear(a, weight.T if transposed else weight, bias)]  # type: ignore[operator, arg-type]


@layer(*NAMES, product=linear_product, formula=linear_output)
def linear(module: nn.Module, a: Tensor, b: Tensor) -> Tensor:
    """|dL/dW|^2 + |dL/dbias|^2 of a linear layer, per row.

    With dL/dW = sum_t b_t a_t^T, the squared norm is sum over positions t, s of (a_t . a_s)(b_t . b_s): two T x T Gram
    matrices instead of an out x in matrix per row. For one vector it is |a|^2 |b|^2. Where T (in + out) > in * out, as in the
    narrow matrices of LoRA, the matrix itself is less work, and is formed. `Conv1D` is GPT-2's transposed linear layer; the norm
    is the same.

    Source: Goodfellow (2015), "Efficient per-example gradient computations", arXiv 1510.01799; Li et al. (2022),
    "Large language models can be strong differentially private learners", arXiv 2110.05679, section 4; the choice between the
    two: Bu et al. (2022), "Scalable and efficient training of large convolutional neural networks with differential privacy",
    NeurIPS.

    >>> layer = nn.Linear(2, 1)
    >>> a, b = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0]]])
    >>> linear(layer, a, b).tolist()  # dW = [3, 6], dbias = 3
    [54.0]
    """
    a, b = positions(a), positions(b)
    width, out = a.shape[-1], b.shape[-1]
    has_bias = getattr(module, "bias", None) is not None
    if a.shape[1] * (width + out) > width * out:
        weight = squares(torch.einsum("bto,bti->boi", b, a))
        return weight + squares(b.double().sum(1)) if has_bias else weight
    a_gram = torch.einsum("bti,bsi->bts", a, a).double()
    b_gram = torch.einsum("bto,bso->bts", b, b).double()
    weight = torch.einsum("bts,bts->b", a_gram, b_gram)
    return weight + b_gram.sum((1, 2)) if has_bias else weight


def squares(values: Tensor) -> Tensor:
    """Sum of squares over all but the first axis, added up in float64; (batch, ...) to (batch,)."""
    return values.square().flatten(1).sum(1, dtype=torch.float64)
