"""Hooks on two places of a model: what goes through its last linear layer, and the gradient at its embeddings."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from thresher.training.watch.tap import Tap


def classifier_layer(model: nn.Module) -> nn.Linear | None:
    """The last linear layer of a model, which gives the logits in every classifier of transformers; None without one.

    >>> classifier_layer(nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 4))).out_features
    4
    """
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def embeddings_of(model: nn.Module) -> nn.Module | None:
    """The module whose output VoG differentiates by: `embeddings` where the base model has it, else the token table."""
    base: Any = getattr(model, getattr(model, "base_model_prefix", "") or "encoder", model)
    found = getattr(base, "embeddings", None)
    if isinstance(found, nn.Module):
        return found
    table = getattr(base, "get_input_embeddings", lambda: None)()
    return table if isinstance(table, nn.Module) else None


def hook_classifier(model: nn.Module, tap: Tap) -> list[Any]:
    """Keep the last layer's input "classifier_in" (B, ..., H) and the gradient at its output "classifier_grad" (B, ..., K)."""
    layer = classifier_layer(model)
    return [] if layer is None else [layer.register_forward_hook(_keeper(tap, "classifier"))]


def hook_embeddings(model: nn.Module, tap: Tap) -> list[Any]:
    """Keep the gradient at the embedding output, "embedding_grad" (B, T, H)."""
    layer = embeddings_of(model)
    return [] if layer is None else [layer.register_forward_hook(_keeper(tap, "embedding"))]


def _keeper(tap: Tap, name: str) -> Any:
    def keep(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        step = tap.now
        if step is None or not output.requires_grad:
            return
        calls = step.seen[f"{name}_calls"] = step.seen.get(f"{name}_calls", 0) + 1
        if given:
            step.seen[f"{name}_in"] = given[0].detach()
        step.seen[f"{name}_bias"] = getattr(module, "bias", None) is not None

        def arrived(gradient: Tensor) -> None:
            # Of a layer that is called twice in one pass neither gradient is the row's.
            if calls == step.seen[f"{name}_calls"] == 1:
                step.seen[f"{name}_grad"] = gradient

        output.register_hook(arrived)  # type: ignore[no-untyped-call]

    return keep
