"""Per-row weight gradients without forming them, their squared norms and their products: one file per kind of layer.

A rule sees a layer as its input `a` and the loss gradient `b` at its output, both (batch, ..., width), and gives in float64
- `ghost_norm`: the squared norm of the gradient of each row's loss by the layer's parameters, (batch,);
- `ghost_product`: the inner products of the gradients of M rows with those of N other rows, (M, N).
`layer_formula` says what the layer must compute for its rules to hold; `check_formulas` compares that with what it did
compute, since a layer that only has the name of a known one would silently get wrong numbers. A new kind of layer is one
new file here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from thresher.errors import UserError

Flow = tuple[Tensor, Tensor]
GhostRule = Callable[[nn.Module, Tensor, Tensor], Tensor]
PairRule = Callable[[nn.Module, Flow, Flow], Tensor]
Formula = Callable[[nn.Module, Tensor], list[Tensor]]
RULES: dict[str, GhostRule] = {}
PAIR_RULES: dict[str, PairRule] = {}
FORMULAS: dict[str, Formula] = {}
Rule = TypeVar("Rule")

# Above rounding, that of TF32 and of bfloat16 included, and far below any other formula.
SAME, ROUNDINGS = 1e-3, 8


def _register(table: dict[str, Rule], type_names: tuple[str, ...]) -> Callable[[Rule], Rule]:
    def register(rule: Rule) -> Rule:
        table.update(dict.fromkeys(type_names, rule))
        return rule

    return register


def ghost_norm(*type_names: str) -> Callable[[GhostRule], GhostRule]:
    """Register a rule for modules by the name of their type (`*Name` matches every type whose name ends so)."""
    return _register(RULES, type_names)


def ghost_product(*type_names: str) -> Callable[[PairRule], PairRule]:
    """Register the pair rule of such modules."""
    return _register(PAIR_RULES, type_names)


def layer_formula(*type_names: str) -> Callable[[Formula], Formula]:
    """Register what such modules compute: the outputs for an input under which the rules hold, one of which is enough."""
    return _register(FORMULAS, type_names)


def _find(table: dict[str, Rule], module: nn.Module) -> Rule | None:
    name = type(module).__name__
    if name in table:
        return table[name]
    return next((rule for key, rule in table.items() if key.startswith("*") and name.endswith(key[1:])), None)


def rule_for(module: nn.Module) -> GhostRule | None:
    """The norm rule for a module, or None."""
    return _find(RULES, module)


def pair_rule_for(module: nn.Module) -> PairRule | None:
    """The pair rule for a module, or None."""
    return _find(PAIR_RULES, module)


def positions(tensor: Tensor) -> Tensor:
    """(batch, width) or (batch, ..., width) as (batch, positions, width)."""
    return tensor.reshape(len(tensor), -1, tensor.shape[-1])


def supported_modules(layer: nn.Module) -> list[nn.Module]:
    """The modules of a layer that own parameters, in order.

    Raises
    ------
    UserError
        one of them has no rule: it is refused by name, never left out silently.
    """
    modules = [module for module in layer.modules() if any(True for _ in module.parameters(recurse=False))]
    for module in modules:
        if rule_for(module) is None:
            raise UserError(
                f"self-influence: no gradient-norm rule for {type(module).__name__}; known: {', '.join(RULES)}"
            )
    return modules


def check_formulas(modules: list[nn.Module], flow: Mapping[nn.Module, Flow], rows: int) -> None:
    """Compare what the modules computed in a forward over `rows` rows with what their rules take them to compute.

    Raises
    ------
    UserError
        a module was not called, saw something else than one input per row, or computes something else.
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
        formula = _find(FORMULAS, module)
        assert formula is not None, name
        # Under autocast inputs and outputs have fewer digits than the parameters.
        exact = next(module.parameters(recurse=False)).dtype
        if not any(_same(output.detach(), expected) for expected in formula(module, given.to(exact))):
            raise UserError(
                f"self-influence: {name} computes something else than its name says; not supported"
            )


def _same(output: Tensor, expected: Tensor) -> bool:
    if output.shape != expected.shape:
        return False
    tolerance = max(SAME, ROUNDINGS * torch.finfo(output.dtype).eps)
    return bool((output - expected).abs().max() <= tolerance * expected.abs().max())


for _found in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_found.name}")
