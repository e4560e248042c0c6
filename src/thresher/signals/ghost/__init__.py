"""Per-row weight gradients without forming them, their squared norms and their products: one file per kind of layer.

A rule sees a layer as its input `a` and the loss gradient `b` at its output, both (batch, ..., width). It has three
functions, of which the first two compute in float64:
- the norm rule: the squared norm of the gradient of each row's loss by the layer's parameters, (batch,);
- `product`: the inner products of the gradients of M rows with those of N other rows, (M, N);
- `formula`: what the layer must compute for the other two to hold. `check_formulas` compares that with what the layer did
  compute, since a layer that only has the name of a known one would silently get wrong numbers.
To add a kind of layer, add one file here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thresher.errors import UserError
from thresher.registry import Entry, Registry, import_files

Flow = tuple[Tensor, Tensor]
GhostRule = Callable[[nn.Module, Tensor, Tensor], Tensor]
PairRule = Callable[[nn.Module, Flow, Flow], Tensor]
Formula = Callable[[nn.Module, Tensor], list[Tensor]]


@dataclass(frozen=True, kw_only=True)
class Layer(Entry[GhostRule]):
    """The rule for a kind of layer, under the name of its type (`*Name` matches every type whose name ends so).

    The function is the norm rule. `formula` gives the outputs for an input under which the rule holds, one of which is
    enough.
    """

    product: PairRule
    formula: Formula


LAYERS = Registry("layer", "layers", Layer)

# Above rounding, that of TF32 and of bfloat16 included, and far below any other formula.
SAME, ROUNDINGS = 1e-3, 8


def layer(*type_names: str, product: PairRule, formula: Formula) -> Callable[[GhostRule], GhostRule]:
    """Decorator that enters a norm rule for modules of these types."""

    def enter(norm: GhostRule) -> GhostRule:
        for name in type_names:
            LAYERS.register(name, product=product, formula=formula)(norm)
        return norm

    return enter


def rule_for(module: nn.Module) -> Layer | None:
    name = type(module).__name__
    known = LAYERS.table
    endings = (rule for key, rule in known.items() if key.startswith("*") and name.endswith(key[1:]))
    return known.get(name) or next(endings, None)


def positions(tensor: Tensor) -> Tensor:
    """(batch, width) or (batch, ..., width) as (batch, positions, width)."""
    return tensor.reshape(len(tensor), -1, tensor.shape[-1])


def supported_modules(layer: nn.Module) -> list[nn.Module]:
    """The modules of a layer that own parameters, in order.

    Raises UserError: one of them has no rule: it is refused by name, never skipped silently.
    """
    modules = [module for module in layer.modules() if any(True for _ in module.parameters(recurse=False))]
    for module in modules:
        if rule_for(module) is None:
            raise UserError(
                f"self-influence: no gradient-norm rule for {type(module).__name__}; known: {', '.join(LAYERS.table)}"
            )
    return modules


def check_formulas(modules: list[nn.Module], flow: Mapping[nn.Module, Flow], rows: int) -> None:
    """Compare what the modules computed in a forward pass over `rows` rows with the formulas of their rules.

    Raises UserError: a module was not called, saw something else than one input per row, or computes something else.
    """
    for module in modules:
        name = type(module).__name__
        if module not in flow:
            raise UserError(
                f"self-influence: {name} is not called as a layer in a forward pass; not supported"
            )
        given, output = flow[module]
        if len(given) != rows:
            raise UserError(f"self-influence: the input of {name} is not one per row; not supported")
        rule = rule_for(module)
        assert rule is not None, name
        # Under autocast inputs and outputs have fewer digits than the parameters.
        exact = next(module.parameters(recurse=False)).dtype
        if not any(_same(output.detach(), expected) for expected in rule.formula(module, given.to(exact))):
            raise UserError(
                f"self-influence: {name} computes something else than its name says; not supported"
            )


def _same(output: Tensor, expected: Tensor) -> bool:
    if output.shape != expected.shape:
        return False
    tolerance = max(SAME, ROUNDINGS * torch.finfo(output.dtype).eps)
    return bool((output - expected).abs().max() <= tolerance * expected.abs().max())


import_files(__name__, __path__)
