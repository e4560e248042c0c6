"""A causal language model for measuring: its parts, its hidden states, and the logits of any of them."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from thresher.errors import UserError
from thresher.recording.model_hooks import encoders_of


@dataclass
class LanguageModel:
    """A causal language model, whole or wrapped by peft; `causal` is that of transformers inside it, `head` its output layer.

    `plain`: whether its logits are those that the head gives, and the head is a linear layer without an adapter. Some models
    scale them or cap them afterwards. It is found out in the first forward pass; None before.
    """

    model: nn.Module
    causal: PreTrainedModel
    head: nn.Module
    inputs: frozenset[str]
    plain: bool | None = None

    @property
    def device(self) -> torch.device:
        return next(self.causal.parameters()).device

    @property
    def vocabulary(self) -> int:
        """The number of logits of a token."""
        return int(self.causal.config.get_text_config().vocab_size)

    def hidden_states(self, inputs: dict[str, Tensor]) -> Tensor:
        """What the head is given of a batch, (B, T, H). The head computes the logits of one token only.

        Raises UserError: the head is not called as a layer.
        """
        found: dict[str, Tensor] = {}

        def shorten(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            found["hidden"] = args[0]
            return (args[0][:1, :1], *args[1:])

        def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
            found["output"] = output

        given = {name: value for name, value in inputs.items() if name in self.inputs}
        with self.head.register_forward_pre_hook(shorten), self.head.register_forward_hook(keep):
            logits = self.model(**given, use_cache=False).logits
        if "output" not in found or found["hidden"].shape[:2] != inputs["input_ids"].shape:
            raise UserError(
                f"{type(self.causal).__name__} does not give its hidden states to its output layer"
                f" ({type(self.head).__name__}), one per token; it cannot be measured"
            )
        if self.plain is None:
            same = torch.equal(logits.detach().float(), found["output"].detach().float())
            self.plain = same and type(self.head) is nn.Linear
        return found["hidden"]

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits (n, V) of hidden states (n, H).

        Where the model changes what its head gives, it does so here: it reads one token, and its head these hidden states.
        """
        if self.plain:
            return self.head(hidden)

        def replace(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (hidden[None], *args[1:])

        token = torch.zeros(1, 1, dtype=torch.long, device=hidden.device)
        with self.head.register_forward_pre_hook(replace):
            return self.model(input_ids=token, use_cache=False).logits[0]


def parts_of(model: nn.Module) -> LanguageModel:
    """A model and its parts.

    Raises UserError: it is not a causal language model of transformers, or one whose prompts are trained (prompt tuning).
    """
    inside = encoders_of(model)
    head = inside[0].get_output_embeddings() if len(inside) == 1 else None
    if not isinstance(head, nn.Module):
        raise UserError(f"{type(model).__name__} is not a causal language model of transformers")
    if any(one.is_prompt_learning for one in (getattr(model, "peft_config", None) or {}).values()):
        raise UserError(
            f"{type(model).__name__} puts virtual tokens before each row and cannot be measured; train LoRA adapters or the"
            " model"
        )
    takes = frozenset(inspect.signature(inside[0].forward).parameters)
    return LanguageModel(model, inside[0], head, takes)


@contextlib.contextmanager
def measuring(model: nn.Module) -> Iterator[LanguageModel]:
    """Inside the block the model is in eval mode and its parameters take no gradient; afterwards both are as before."""
    parts = parts_of(model)
    modes = [(module, module.training) for module in model.modules()]
    needed = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval().requires_grad_(False)
    try:
        yield parts
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter in needed:
            parameter.requires_grad_(True)
