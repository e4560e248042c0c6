"""Hooks on two layers of a model: what passes through its last linear layer, and the gradient at its embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from thresher.recording.step import Capture, Step

if TYPE_CHECKING:
    from thresher.recording.trainer_hooks import TrainerHooks


def classifier_layer(model: nn.Module) -> nn.Linear | None:
    """The last linear layer of a model, which gives the logits in every classifier of transformers; None without one.

    >>> classifier_layer(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))).out_features
    4
    """
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def embeddings_of(model: nn.Module) -> nn.Module | None:
    """The module whose output VoG differentiates by: `embeddings` where the base model has it, else the token table."""
    base = getattr(model, getattr(model, "base_model_prefix", "") or "encoder", model)
    found = getattr(base, "embeddings", None)
    if isinstance(found, nn.Module):
        return found
    table = getattr(base, "get_input_embeddings", lambda: None)()
    return table if isinstance(table, nn.Module) else None


def hook_classifier(model: nn.Module, hooks: TrainerHooks) -> list[RemovableHandle]:
    """Capture the last layer's input (B, ..., H) and the gradient at its output (B, ..., K) as `Step.classifier`."""
    return _capture(classifier_layer(model), hooks, lambda step: step.classifier)


def hook_embeddings(model: nn.Module, hooks: TrainerHooks) -> list[RemovableHandle]:
    """Capture the gradient at the embedding output (B, T, H) as `Step.embeddings`."""
    return _capture(embeddings_of(model), hooks, lambda step: step.embeddings)


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
        capture.has_bias = getattr(module, "bias", None) is not None

        def backward(gradient: Tensor) -> None:
            if call == capture.calls == 1:
                capture.gradient = gradient

        output.register_hook(backward)  # type: ignore[no-untyped-call]

    return [] if layer is None else [layer.register_forward_hook(forward)]
