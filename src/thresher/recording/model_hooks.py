"""Hooks on two layers of a model: what passes through its last linear layer, and the gradient at its embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from thresher.recording.step import Capture, Step

if TYPE_CHECKING:
    from thresher.recording.trainer_hooks import TrainerHooks


def classifier_layer(model: nn.Module) -> nn.Module | None:
    """The last linear layer outside of the encoder, which gives the logits in every classifier of transformers.

    The last of all where there is none outside, None without one. A linear layer with an adapter on it is one layer: what it
    gives is the sum of both.

    >>> classifier_layer(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))).out_features
    4
    """
    linear: list[nn.Module] = []
    inside: set[nn.Module] = set()
    for module in model.modules():
        adapted = isinstance(getattr(module, "base_layer", None), nn.Linear)
        if adapted or (isinstance(module, nn.Linear) and module not in inside):
            linear.append(module)
        if adapted:
            inside.update(module.modules())
    encoders = {part for encoder in encoders_of(model) for part in encoder.base_model.modules()}
    outside = [layer for layer in linear if layer not in encoders]
    layers = outside or linear
    return layers[-1] if layers else None


def encoders_of(model: nn.Module) -> list[PreTrainedModel]:
    """The models of transformers in a model, each with its own head if it has one; those inside of another are left out."""
    found: list[PreTrainedModel] = []
    inside: set[nn.Module] = set()
    for module in model.modules():
        if isinstance(module, PreTrainedModel) and module not in inside:
            found.append(module)
            inside.update(module.modules())
    return found


def out_features(layer: nn.Module) -> int:
    """The width of what a layer gives that `classifier_layer` found."""
    linear = getattr(layer, "base_layer", layer)
    assert isinstance(linear, nn.Linear)
    return linear.out_features


def embeddings_of(model: nn.Module) -> nn.Module | None:
    """The module whose output VoG differentiates by: `embeddings` where the encoder has it, else the token table.

    None where it cannot be told: a model of several encoders, or one without any and with more than one table.
    """
    encoders = encoders_of(model)
    if not encoders:
        tables = [module for module in model.modules() if isinstance(module, nn.Embedding)]
        return tables[0] if len(tables) == 1 else None
    if len(encoders) > 1:
        return None
    base = encoders[0].base_model
    found = getattr(base, "embeddings", None)
    if isinstance(found, nn.Module):
        return found
    table = base.get_input_embeddings()
    return table if isinstance(table, nn.Module) else None


def hook_classifier(model: nn.Module, hooks: TrainerHooks) -> list[RemovableHandle]:
    """Capture the last layer's input (B, ..., H) and the gradient at its output (B, ..., K) as `Step.classifier`."""
    return _capture(classifier_layer(model), hooks, lambda step: step.classifier)


def hook_embeddings(model: nn.Module, hooks: TrainerHooks) -> list[RemovableHandle]:
    """Capture the gradient at the embedding output (B, T, H) as `Step.embeddings`; frozen embeddings get one, too."""
    layer = embeddings_of(model)

    def open_for_gradients(module: nn.Module, inputs: object, output: object) -> Tensor | None:
        if hooks.current is None or not isinstance(output, Tensor) or output.requires_grad:
            return None
        # A copy, as what follows may write in place, which torch refuses for the tensor that the gradient begins at.
        return output.detach().requires_grad_().clone() if torch.is_grad_enabled() else None

    opened = [] if layer is None else [layer.register_forward_hook(open_for_gradients)]
    return [*opened, *_capture(layer, hooks, lambda step: step.embeddings)]


def _capture(
    layer: nn.Module | None, hooks: TrainerHooks, place: Callable[[Step], Capture]
) -> list[RemovableHandle]:
    def forward(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
        if hooks.current is None or not isinstance(output, Tensor) or not output.requires_grad:
            return
        capture = place(hooks.current)
        capture.calls += 1
        call = capture.calls
        if inputs and isinstance(inputs[0], Tensor):
            capture.input = inputs[0].detach()
        capture.has_bias = getattr(getattr(module, "base_layer", module), "bias", None) is not None

        def backward(gradient: Tensor) -> None:
            if call == capture.calls == 1:
                capture.gradient = gradient

        output.register_hook(backward)  # type: ignore[no-untyped-call]

    return [] if layer is None else [layer.register_forward_hook(forward)]
