"""Hooks that make the embedding output a leaf and keep what flows through chosen layers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from thresher.errors import UserError
from thresher.models.classifier import Classifier
from thresher.models.encoder import embedding_layer, layer_stack
from thresher.models.frozen import FrozenClassifier
from thresher.signals.ghost import supported_modules


def embedding_leaf(
    model: Classifier | FrozenClassifier,
) -> contextlib.AbstractContextManager[dict[str, Tensor]]:
    """Inside the block every forward puts its embedding output under "embedding"; see `leaf_at`."""
    return leaf_at(embedding_layer(model.encoder))


@contextlib.contextmanager
def leaf_at(layer: nn.Module, *, copied: bool = False) -> Iterator[dict[str, Tensor]]:
    """Inside the block every forward puts the output of a layer under "embedding", as a leaf that takes a gradient.

    The parameters need no gradient then: backward stops at the leaf, and no weight gradient is computed. `copied`: what
    follows in the model gets a copy, as it may write in place, which torch refuses for a leaf.
    """
    found: dict[str, Tensor] = {}

    def cut(module: nn.Module, inputs: object, output: Tensor) -> Tensor:
        found["embedding"] = output.detach().requires_grad_()
        return found["embedding"].clone() if copied else found["embedding"]

    with layer.register_forward_hook(cut):
        yield found


@contextlib.contextmanager
def layer_flow(modules: list[nn.Module]) -> Iterator[dict[nn.Module, tuple[Tensor, Tensor]]]:
    """Inside the block every forward keeps (input, output) of the given modules.

    Where nothing before a module takes a gradient its output does from here on, so backward never goes further down than
    the modules that were asked for.

    Raises UserError: a module is called twice in one forward: its gradient is a sum that the per-call rules do not give. Or it
    is called with something else than one tensor.
    """
    flow: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def keep(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        name = type(module).__name__
        if module in flow:
            raise UserError(f"self-influence: {name} is called twice in one pass; not supported")
        if not (len(inputs) == 1 and isinstance(inputs[0], Tensor) and isinstance(output, Tensor)):
            raise UserError(f"self-influence: {name} takes or gives more than one tensor; not supported")
        if not output.requires_grad and torch.is_grad_enabled():
            output.requires_grad_()
        flow[module] = (inputs[0].detach(), output)

    handles = [module.register_forward_hook(keep) for module in modules]
    try:
        yield flow
    finally:
        for handle in handles:
            handle.remove()


def measured_layers(model: Classifier | FrozenClassifier) -> dict[str, Callable[[], list[nn.Module]]]:
    """By signal name, how to find the modules whose gradient norms it sums: last encoder layer, last classifier layer."""
    return {
        "encoder_sq_norm": lambda: supported_modules(layer_stack(model.encoder)[-1]),
        "classifier_sq_norm": lambda: supported_modules(model.head[-1]),
    }
