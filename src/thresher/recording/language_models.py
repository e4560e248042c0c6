"""Causal language models: how they are told, and what of their trainings cannot be recorded."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn
from transformers import PreTrainedModel, Trainer

from thresher.recording.datasets import column_names
from thresher.recording.model_hooks import classifier_layer

LANGUAGE_MODELS = ("ForCausalLM", "LMHeadModel")


def language_model(model: nn.Module) -> str:
    """The class of the causal language model that a model is, or is built around; "" for others."""
    return name_of_task(model, LANGUAGE_MODELS)


def name_of_task(model: nn.Module, tasks: Iterable[str]) -> str:
    """The class of a model of one of these tasks, also inside a model of any other class whose last layer is its; "" for others.

    A classifier that is built on the hidden states of a language model has a last layer of its own.
    """
    last = classifier_layer(model)
    for module in model.modules():
        named = any(task in type(module).__name__ for task in tasks)
        if named and (module is model or (isinstance(module, PreTrainedModel) and _holds(module, last))):
            return type(module).__name__
    return ""


def _holds(module: nn.Module, layer: nn.Module | None) -> bool:
    return layer is None or any(one is layer for one in module.modules())


def trl_trainer(trainer: Trainer) -> str:
    """The name of the trainer of trl that a trainer is, or is derived from; "" for others."""
    kinds = (kind for kind in type(trainer).__mro__ if kind.__module__.split(".")[0] == "trl")
    return next((kind.__name__ for kind in kinds), "")


def completion_reason(trainer: Trainer) -> str:
    """Why the rows of a language model cannot be told apart or read, as far as that shows before a training; "" if they can."""
    if getattr(trainer.args, "packing", False) or "seq_lengths" in column_names(trainer.train_dataset):
        return "packing makes one row of several; set packing=False, and padding_free=True to pad as little"
    prompts = [
        one for one in (getattr(trainer.model, "peft_config", None) or {}).values() if one.is_prompt_learning
    ]
    if prompts:
        return f"{type(prompts[0]).__name__} puts virtual tokens before each row; train LoRA adapters or the model"
    return ""


def other_loss(trainer: Trainer) -> str:
    """What makes the loss of a training another than the mean cross-entropy of its tokens, where its settings say so; else ""."""
    if trainer.args.label_smoothing_factor > 0:
        return f"label smoothing of {trainer.args.label_smoothing_factor:g}"
    if getattr(trainer.args, "loss_type", "nll") != "nll":
        return f"loss_type={trainer.args.loss_type}"
    return "compute_loss_func" if trainer.compute_loss_func is not None else ""
