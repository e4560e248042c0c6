"""Squared norms of per-row weight gradients, without forming them: one file per kind of layer.

A rule takes a module, its input `a` and the loss gradient `b` at its output, both (batch, tokens, width) or (batch, width),
and returns the squared norm of the gradient of each row's loss by the module's parameters, (batch,), in float64. A new kind
of layer is one new file here.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable

from torch import Tensor, nn

from thresher.errors import UserError

GhostRule = Callable[[nn.Module, Tensor, Tensor], Tensor]
RULES: dict[str, GhostRule] = {}


def ghost_norm(*type_names: str) -> Callable[[GhostRule], GhostRule]:
    """Register a rule for modules by the name of their type (`*Name` matches every type whose name ends so)."""

    def register(rule: GhostRule) -> GhostRule:
        for name in type_names:
            RULES[name] = rule
        return rule

    return register


def rule_for(module: nn.Module) -> GhostRule | None:
    """The rule for a module, or None."""
    name = type(module).__name__
    if name in RULES:
        return RULES[name]
    return next((rule for key, rule in RULES.items() if key.startswith("*") and name.endswith(key[1:])), None)


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


for _found in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_found.name}")
