"""Hooks on a `Trainer`: every training step is delivered with the numbers of its rows and what the model gave for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import Trainer, TrainerCallback

from thresher.errors import UserError
from thresher.recording import hf_compat
from thresher.recording.row_numbers import ROWS, number_rows
from thresher.recording.step import Step

ModelHook = Callable[[nn.Module, "TrainerHooks"], list[RemovableHandle]]
REPLACED = ("train", "get_train_dataloader", "training_step")
ATTRIBUTE = "thresher_hooks"


@dataclass(frozen=True)
class Observer:
    """What follows a training: `on_step` is called after each backward pass, `callback` at the events of the trainer.

    `model_hooks` are put on the model for the time of the training, `change_loader` changes the train data loader.
    """

    on_step: Callable[[Step], None]
    callback: TrainerCallback | None = None
    model_hooks: tuple[ModelHook, ...] = ()
    change_loader: Callable[[Any], Any] | None = None


class TrainerHooks(TrainerCallback):
    """Delivers the steps of one training of a trainer to observers.

    Three methods of the trainer are called through here, and the model gets hooks; however the training ends, the trainer and
    the model are then as they were.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.observers: dict[str, Observer] = {}
        self.current: Step | None = None
        self.handles: list[RemovableHandle] = []
        self.original = {name: getattr(trainer, name) for name in REPLACED}
        self.former = hf_compat.replace_methods(trainer, {name: getattr(self, name) for name in REPLACED})
        trainer.add_callback(self)

    def attach(self, name: str, observer: Observer, first: bool = False) -> None:
        """Add an observer, or replace the one of the same name; one that is `first` is asked before all others."""
        former = self.observers.pop(name, None)
        if former is not None and former.callback is not None:
            self.trainer.pop_callback(former.callback)
        self.observers = {name: observer, **self.observers} if first else {**self.observers, name: observer}
        if observer.callback is not None and first:
            hf_compat.add_first_callback(self.trainer, observer.callback)
        elif observer.callback is not None:
            self.trainer.add_callback(observer.callback)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """The trainer's own training, after which everything is taken off."""
        try:
            return self.original["train"](*args, **kwargs)
        finally:
            self.close()

    def get_train_dataloader(self) -> Any:
        """The trainer's own loader, whose batches now carry the numbers of their rows."""
        loader = number_rows(self.original["get_train_dataloader"]())
        for observer in self.observers.values():
            if observer.change_loader is not None:
                loader = observer.change_loader(loader)
        return loader

    def training_step(self, model: nn.Module, inputs: dict[str, Any], *args: Any, **kwargs: Any) -> Tensor:
        """The trainer's own step; the row numbers are taken out of the batch before, the observers are called after."""
        if ROWS not in inputs:
            raise UserError(
                "the batches of this Trainer do not come from its get_train_dataloader, so their rows cannot be followed"
            )
        rows, labels = inputs.pop(ROWS), labels_in(self.trainer, inputs)
        self.current = step = Step(rows.to(labels.device), dict(inputs), labels)
        try:
            loss: Tensor = self.original["training_step"](model, inputs, *args, **kwargs)
        finally:
            self.current = None
        for observer in self.observers.values():
            observer.on_step(step)
        return loss

    def on_train_begin(self, *_: object, model: nn.Module, **__: object) -> None:
        """Put the hooks on the model; a training that starts over with smaller batches comes here twice."""
        self.remove_model_hooks()
        self.handles = [model.register_forward_hook(self.keep_output)]
        for observer in self.observers.values():
            for hook in observer.model_hooks:
                self.handles += hook(model, self)

    def keep_output(self, module: nn.Module, inputs: object, output: object) -> None:
        """Forward hook of the whole model."""
        if self.current is not None and module.training:
            self.current.output = output
            self.current.passes += 1

    def remove_model_hooks(self) -> None:
        """Take the hooks off the model."""
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def close(self) -> None:
        """Leave the model and the trainer as they were."""
        self.remove_model_hooks()
        hf_compat.restore_methods(self.trainer, (*REPLACED, ATTRIBUTE), self.former)
        for callback in (self, *(observer.callback for observer in self.observers.values())):
            if callback is not None:
                self.trainer.pop_callback(callback)


def labels_in(trainer: Trainer, inputs: dict[str, Any]) -> Tensor:
    """The labels of a batch, (B,), (B, 1) or (B, T).

    Raises
    ------
    UserError
        the batch has none.
    """
    labels = next((inputs[name] for name in trainer.label_names if name in inputs), None)
    if labels is None:
        raise UserError(f"the batch has no {' or '.join(trainer.label_names)}; it has {', '.join(inputs)}")
    return labels


def hooks_of(trainer: Trainer) -> TrainerHooks:
    """The hooks of a trainer; a second call before the training returns the same ones."""
    if ATTRIBUTE not in vars(trainer):
        setattr(trainer, ATTRIBUTE, TrainerHooks(trainer))
    return getattr(trainer, ATTRIBUTE)
