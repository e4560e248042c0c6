"""The layers of a language model whose gradients are measured, by the name of the signal."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from thresher.errors import UserError
from thresher.models.encoder import layer_stack
from thresher.signals.capture import layer_flow
from thresher.signals.completions.model import LanguageModel
from thresher.signals.ghost import check_formulas, supported_modules

HEAD = "classifier_sq_norm"
# Two rows of three tokens, on which formulas are tried: an input without a row axis cannot be mistaken for one with it.
TRIED = (2, 3)


def adapter_modules(model: nn.Module) -> list[nn.Module]:
    """The matrices A and B of the active LoRA adapters of all layers, each a linear layer; none without LoRA.

    Raises UserError: an adapter of token embeddings, which is no linear layer.
    """
    found = []
    for module in model.modules():
        first, second = getattr(module, "lora_A", None), getattr(module, "lora_B", None)
        if not (isinstance(first, nn.ModuleDict) and isinstance(second, nn.ModuleDict)):
            continue
        if len(getattr(module, "lora_embedding_A", ())):
            raise UserError(
                "adapter_sq_norm: LoRA of the token embeddings is not supported; leave embed_tokens out of target_modules"
            )
        active = [name for name in module.active_adapters if name in first]  # type: ignore[union-attr]
        found += [matrices[name] for name in active for matrices in (first, second)]
    return found


def measured_layers(model: LanguageModel, signals: Sequence[str]) -> dict[str, list[nn.Module]]:
    """The modules whose gradients each of these signals sums, checked on two rows with the weights that the model has.

    `adapter_sq_norm`: all active LoRA matrices; `encoder_sq_norm`: all parameters of the last decoder layer. Of
    `classifier_sq_norm`, the output layer, only the check is made: it has rules of its own.

    Raises UserError: the model has no such layer, or its gradients are not those that the rules give.
    """
    adapters = adapter_modules(model.model)
    found: dict[str, list[nn.Module]] = {}
    if "adapter_sq_norm" in signals:
        if not adapters:
            raise UserError("adapter_sq_norm: the model has no active LoRA adapters; leave the signal out")
        if set(adapters) & set(model.head.modules()):
            raise UserError(
                "adapter_sq_norm: LoRA of the output layer is not supported; leave the signal out"
            )
        found["adapter_sq_norm"] = adapters
    if "encoder_sq_norm" in signals:
        last = layer_stack(model.causal.base_model)[-1]
        if set(adapters) & set(last.modules()):
            raise UserError("encoder_sq_norm: the last layer has LoRA adapters; measure adapter_sq_norm")
        found["encoder_sq_norm"] = supported_modules(last)
    if not found and HEAD not in signals:
        return found
    ids = torch.zeros(TRIED, dtype=torch.long, device=model.device)
    ids += torch.arange(TRIED[1], device=model.device)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    modules = [module for group in found.values() for module in group]
    with torch.no_grad(), layer_flow(modules) as flow:
        model.hidden_states(inputs)
    check_formulas(modules, flow, TRIED[0])
    if HEAD in signals and not model.plain:
        raise UserError(
            f"{HEAD}: the logits of {type(model.causal).__name__} are not what a plain linear layer gives"
            f" ({type(model.head).__name__}); leave the signal out"
        )
    return found
