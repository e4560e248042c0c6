"""The tap on a `Trainer`: at every training step, the rows of the batch and what the model made of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from transformers import TrainerCallback

from thresher.errors import UserError
from thresher.training.watch.identity import ROWS, number_rows

HookFactory = Callable[[nn.Module, "Tap"], list[Any]]


@dataclass
class Step:
    """One forward and backward pass over B rows.

    `logits` (B, K) or (B, T, K) and `labels` (B,) or (B, T), detached; `mask` (B, T), 1 for true tokens, where the batch has
    one. `seen` holds what further hooks found.
    """

    rows: Tensor
    labels: Tensor
    mask: Tensor | None
    logits: Tensor | None = None
    seen: dict[str, Any] = field(default_factory=dict)


class Tap:
    """Follows the rows of a trainer; `listeners` are called with each `Step` after its backward pass.

    Nothing of the trainer is replaced by something else: two of its methods are called through here, and the model gets
    hooks for the time of the training. Both are taken off when the training ends.
    """

    def __init__(self, trainer: Any) -> None:
        self.trainer = trainer
        self.listeners: list[Callable[[Step], None]] = []
        self.hooks: list[HookFactory] = []
        self.loaders: list[Callable[[Any], Any]] = [number_rows]
        self.now: Step | None = None
        self.handles: list[Any] = []
        self.closed = False
        self.load, self.step = trainer.get_train_dataloader, trainer.training_step
        trainer.get_train_dataloader = self.get_train_dataloader
        trainer.training_step = self.training_step
        trainer.add_callback(_Plumber(self))

    def get_train_dataloader(self) -> Any:
        """The trainer's own loader, with what is hung behind it."""
        loader = self.load()
        for change in self.loaders:
            loader = change(loader)
        return loader

    def training_step(self, model: nn.Module, inputs: Any, *more: Any, **named: Any) -> Tensor:
        """The trainer's own step, with the row numbers taken out of the batch before and the listeners called after it."""
        labels = next((inputs[name] for name in self.trainer.label_names if name in inputs), None)
        if labels is None:
            raise UserError(
                f"the batch has no {' or '.join(self.trainer.label_names)}; it has {', '.join(inputs)}"
            )
        self.now = Step(inputs.pop(ROWS), labels, inputs.get("attention_mask"))
        try:
            loss: Tensor = self.step(model, inputs, *more, **named)
            now = self.now
        finally:
            self.now = None
        if now.logits is None:
            raise UserError(
                f"{type(self.trainer.model).__name__} gave no `logits` in the training step;"
                " only models whose output holds logits can be watched"
            )
        if now.logits.dim() == 2 and labels.dim() == 2 and labels.shape[1] == 1:
            now.labels = labels[:, 0]
        now.rows, now.labels = now.rows.to(now.logits.device), now.labels.to(now.logits.device)
        for listener in self.listeners:
            listener(now)
        return loss

    def keep_logits(self, module: nn.Module, given: Any, output: Any) -> None:
        """Forward hook of the whole model."""
        if self.now is None or not module.training:
            return
        if self.now.logits is not None:
            raise UserError(
                "the training step calls the model twice; which logits are the row's is not known, so it cannot be watched"
            )
        logits = output["logits"] if isinstance(output, dict) and "logits" in output else None
        self.now.logits = getattr(output, "logits", None) if logits is None else logits
        if self.now.logits is not None:
            self.now.logits = self.now.logits.detach()

    def open(self, model: nn.Module) -> None:
        """Put the hooks on the model; a training that starts over with smaller batches opens twice."""
        for handle in self.handles:
            handle.remove()
        self.handles = [model.register_forward_hook(self.keep_logits)]
        for hook in self.hooks:
            self.handles += hook(model, self)

    def close(self) -> None:
        """Take everything off again."""
        self.closed = True
        for handle in self.handles:
            handle.remove()
        vars(self.trainer).pop("get_train_dataloader", None)
        vars(self.trainer).pop("training_step", None)
        vars(self.trainer).pop("thresher_tap", None)


class _Plumber(TrainerCallback):
    """Opens the tap when the training begins, with the model that is trained, and closes it at the end."""

    def __init__(self, tap: Tap) -> None:
        self.tap = tap

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if not self.tap.closed:
            self.tap.open(given["model"])

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.tap.close()


def tap(trainer: Any) -> Tap:
    """The tap of a trainer; a second call gives the same one."""
    if "thresher_tap" not in vars(trainer):
        trainer.thresher_tap = Tap(trainer)
    return trainer.thresher_tap
