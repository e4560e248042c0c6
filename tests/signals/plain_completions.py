"""Every signal of a completion written straight from its formula: one row at a time, unpadded, plain autograd in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn


def plain_signals(
    model: nn.Module, weights: Sequence[Callable[[], None]], prompt: list[int], completion: list[int]
) -> dict[str, Any]:
    """What `measure_completions` gives for one row; `model` is in float64."""
    found: dict[str, list[Any]] = {}
    gradients = []
    for put in weights:
        put()
        model.eval().requires_grad_(True)
        embedded: list[torch.Tensor] = []
        inside = inner(model)
        handle = inside.get_input_embeddings().register_forward_hook(
            lambda module, given, output, embedded=embedded: embedded.append(output.requires_grad_())
        )
        logits = model(input_ids=torch.tensor([prompt + completion])).logits[0]
        handle.remove()
        of_tokens = [token_values(logits[len(prompt) + i - 1], token) for i, token in enumerate(completion)]
        for name in ("loss", "error_norm", "margin", "entropy", "probability", "right"):
            found.setdefault(f"token_{name}", []).append([one[name].item() for one in of_tokens])
            found.setdefault(name, []).append(np.mean(found[f"token_{name}"][-1]))
        true_logits = sum(logits[len(prompt) + i - 1][token] for i, token in enumerate(completion))
        (gradient,) = torch.autograd.grad(true_logits, embedded[0], retain_graph=True)
        gradients.append(gradient.flatten())
        loss = torch.stack([one["loss"] for one in of_tokens]).mean()
        for name, parameters in layers_of(model).items():
            if parameters:
                parts = torch.autograd.grad(loss, parameters, retain_graph=True)
                found.setdefault(name, []).append(sum(part.square().sum().item() for part in parts))
    stacked = torch.stack(gradients)
    return {
        **{name: np.array(values) for name, values in found.items()},
        "accuracy": np.array(found["right"]),
        "correct": np.array(found["right"]) == 1,
        "gradient_gram": (stacked @ stacked.T).numpy(),
        "variance": stacked.numpy().var(0).sum(),
    }


def token_values(z: torch.Tensor, token: int) -> dict[str, torch.Tensor]:
    """Of one token, from the logits that it is predicted by."""
    p = torch.softmax(z, 0)
    others = torch.cat([z[:token], z[token + 1 :]])
    return {
        "loss": -torch.log_softmax(z, 0)[token],
        "probability": p[token],
        "error_norm": (p - nn.functional.one_hot(torch.tensor(token), len(z))).norm(),
        "margin": z[token] - others.max(),
        "entropy": -(p * p.log()).sum(),
        "right": z.argmax() == token,
    }


def inner(model: nn.Module) -> Any:
    """The model of transformers inside that of peft."""
    return model.get_base_model() if hasattr(model, "peft_config") else model


def layers_of(model: nn.Module) -> dict[str, list[nn.Parameter]]:
    """The parameters behind each norm. The output layer has a weight of its own here, also where a model ties it."""
    base = inner(model)
    named = list(model.named_parameters())
    stack = base.base_model
    stack = stack.h if hasattr(stack, "h") else stack.layers
    adapters = [parameter for name, parameter in named if "lora_" in name]
    return {
        "classifier_sq_norm": list(base.get_output_embeddings().parameters()),
        "adapter_sq_norm": adapters,
        "encoder_sq_norm": [] if adapters else list(stack[-1].parameters()),
    }
