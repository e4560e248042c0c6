"""Ghost norms and products equal explicit per-row weight gradients, for every layer that the rules claim to support."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from transformers.models.gemma.modeling_gemma import GemmaRMSNorm
from transformers.models.llama.modeling_llama import LlamaRMSNorm
from transformers.models.qwen2.modeling_qwen2 import Qwen2RMSNorm
from transformers.models.t5.modeling_t5 import T5LayerNorm
from transformers.pytorch_utils import Conv1D

from thresher.errors import UserError
from thresher.signals import ghost
from thresher.signals.capture import layer_flow
from thresher.signals.ghost import check_formulas, rule_for, supported_modules

WIDE, NARROW = 5, 3
MANY = (
    60  # where two matrices of the positions are less work than the gradient, for all positions of the tests
)
LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Linear(WIDE, NARROW),
    "linear without bias": lambda: nn.Linear(WIDE, NARROW, bias=False),
    "linear to many": lambda: nn.Linear(WIDE, MANY),
    "linear to many without bias": lambda: nn.Linear(WIDE, MANY, bias=False),
    "attention's output": lambda: NonDynamicallyQuantizableLinear(WIDE, NARROW),
    "GPT-2's linear": lambda: Conv1D(NARROW, WIDE),
    "layer norm": lambda: nn.LayerNorm(WIDE, eps=1e-2),
    "layer norm without bias": lambda: nn.LayerNorm(WIDE, bias=False),
    "torch's RMS norm": lambda: nn.RMSNorm(WIDE),
    "torch's RMS norm with eps": lambda: nn.RMSNorm(WIDE, eps=1e-2),
    "Llama's RMS norm": lambda: LlamaRMSNorm(WIDE, eps=1e-2),
    "Qwen2's RMS norm": lambda: Qwen2RMSNorm(WIDE, eps=1e-2),
    "Gemma's RMS norm": lambda: GemmaRMSNorm(WIDE, eps=1e-2),
}
# One vector per row, a sequence per row, and a sequence of heads per row (Qwen3 and Gemma3 normalise each head).
SHAPES = {"pooled": (), "sequence": (4,), "heads": (4, 2)}


def made(name: str, seed: int = 0) -> nn.Module:
    """A layer with random parameters, so that a gain of one or a bias of zero cannot hide anything."""
    torch.manual_seed(seed)
    layer = LAYERS[name]().double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    return layer


def flow_of(layer: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Input and output gradient of a layer under a loss that every output counts in, through the real hooks."""
    with layer_flow([layer]) as flow:
        layer(inputs)
    check_formulas([layer], flow, len(inputs))
    given, output = flow[layer]
    (gradient,) = torch.autograd.grad(loss_of(output), output)
    return given, gradient


def loss_of(output: Tensor) -> Tensor:
    return (output**3 - output).sum()


def explicit(layer: nn.Module, inputs: Tensor) -> Tensor:
    """The gradient of every row's loss by the layer's parameters, (rows, parameters), one row at a time."""
    layer.requires_grad_(True)
    rows = []
    for row in inputs:
        found = torch.autograd.grad(loss_of(layer(row[None])), list(layer.parameters()))
        rows.append(torch.cat([gradient.flatten() for gradient in found]))
    layer.requires_grad_(False)
    return torch.stack(rows)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", LAYERS)
def test_norms_and_products_equal_explicit_gradients(name, shape):
    layer = made(name).requires_grad_(False)
    ours, theirs = (
        torch.randn(3, *SHAPES[shape], WIDE).double(),
        torch.randn(2, *SHAPES[shape], WIDE).double(),
    )
    one, other = explicit(layer, ours), explicit(layer, theirs)
    # These norms of the library compute in float32 whatever the model is in.
    relative = 1e-5 if name.split("'")[0] in ("Llama", "Qwen2", "Gemma") else 1e-9
    flow, other_flow = flow_of(layer, ours), flow_of(layer, theirs)
    norms = rule_for(layer).function(layer, *flow)
    torch.testing.assert_close(norms, (one**2).sum(1), rtol=relative, atol=0)
    products = rule_for(layer).product(layer, flow, other_flow)
    scale = (one.norm(dim=1)[:, None] * other.norm(dim=1)).max().item()
    torch.testing.assert_close(products, one @ other.T, rtol=0, atol=relative * scale)
    assert norms.dtype == products.dtype == torch.float64


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(sorted(LAYERS)),
    rows=st.integers(1, 4),
    positions=st.lists(st.integers(1, 4), max_size=2),
    seed=st.integers(0, 1000),
)
def test_the_norm_is_the_product_with_itself_and_products_are_symmetric(name, rows, positions, seed):
    layer = made(name, seed)
    flow = torch.randn(rows, *positions, WIDE).double(), torch.randn(rows, *positions, NARROW).double()
    if "norm" in name:
        flow = flow[0], torch.randn(rows, *positions, WIDE).double()
    products = rule_for(layer).product(layer, flow, flow)
    norms = rule_for(layer).function(layer, *flow)
    torch.testing.assert_close(products.diag(), norms, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(products, products.T, rtol=1e-9, atol=1e-9 * norms.max().item())


def test_a_position_that_the_loss_does_not_see_changes_nothing():
    for name in LAYERS:
        layer = made(name)
        a, b = flow_of(layer, torch.randn(3, 4, WIDE).double())
        padded = [
            torch.nn.functional.pad(a, (0, 0, 0, 2), value=7.0),
            torch.nn.functional.pad(b, (0, 0, 0, 2)),
        ]
        torch.testing.assert_close(
            rule_for(layer).function(layer, *padded), rule_for(layer).function(layer, a, b)
        )
        products = rule_for(layer).product(layer, (a, b), tuple(padded))
        torch.testing.assert_close(products, rule_for(layer).product(layer, (a, b), (a, b)))


def test_every_kind_of_layer_is_tested():
    tested = {type(make()).__name__ for make in LAYERS.values()}
    assert all(
        name in tested or any(one.endswith(name[1:]) for one in tested if name.startswith("*"))
        for name in ghost.LAYERS.table
    )


@pytest.mark.parametrize(
    "layer", [nn.Embedding(4, WIDE), nn.Conv1d(3, 3, 1), nn.BatchNorm1d(3), T5LayerNorm(WIDE), nn.GRU(3, 3)]
)
def test_a_layer_without_a_rule_is_refused_by_name(layer):
    with pytest.raises(UserError, match=f"no gradient-norm rule for {type(layer).__name__}; known: "):
        supported_modules(nn.Sequential(nn.Linear(3, 3), layer))


def refused(modules: list[nn.Module], forward: Callable[[], object], rows: int = 2) -> str:
    with pytest.raises(UserError) as error, layer_flow(modules) as flow:
        forward()
        check_formulas(modules, flow, rows)
    return str(error.value)


def test_a_layer_that_only_has_the_name_of_a_known_one_is_refused():
    class ScaledBeforeRMSNorm(nn.Module):
        """As some models have it: the gain comes first, so its gradient passes through the root mean square."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([0.3, 1.0, -2.0, 0.7, 1.4]))
            self.eps = 1e-6

        def forward(self, x: Tensor) -> Tensor:
            y = x * (1 + self.weight)
            return y * torch.rsqrt(y.pow(2).mean(-1, keepdim=True) + self.eps)

    class Linear(nn.Linear):
        """A low-rank or quantised layer may well be called so."""

        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    class LayerNorm(nn.LayerNorm):
        """Over the channels, as in vision."""

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.transpose(1, 2)).transpose(1, 2)

    for layer in (ScaledBeforeRMSNorm(), Linear(5, 5), LayerNorm(5)):
        name = type(layer).__name__
        assert f"{name} computes something else than its name says" in refused(
            [layer], lambda layer=layer: layer(torch.randn(2, 5, 5))
        )


def test_a_layer_called_twice_not_at_all_or_not_once_per_row_is_refused():
    layer, x = nn.Linear(5, 5), torch.randn(2, 3, 5)
    assert "Linear is called twice in one pass" in refused([layer], lambda: layer(layer(x)))
    assert "Linear is not called as a layer" in refused([layer], lambda: x @ layer.weight.T)
    # Relative positions go through a layer once for the whole batch.
    assert "the input of Linear is not one per row" in refused([layer], lambda: layer(x[:1]))
    # Some models lay all tokens of a batch out as one sequence.
    assert "the input of Linear is not one per row" in refused([layer], lambda: layer(x.flatten(0, 1)))


def test_a_layer_whose_output_is_changed_in_place_is_refused():
    layer = nn.Linear(5, 5)
    assert "computes something else" in refused([layer], lambda: layer(torch.randn(2, 3, 5)).relu_())


def test_a_layer_that_is_called_by_keyword_or_gives_several_tensors_is_refused():
    layer, x = nn.Linear(5, 5), torch.randn(2, 5)
    assert "takes or gives more than one tensor" in refused([layer], lambda: layer(input=x))
