"""Hooks on a `Trainer`: every training step is delivered with the numbers of its rows and what the model gave for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import Trainer, TrainerCallback

from thresher.errors import UserError
from thresher.recording import hf_compat
from thresher.recording.datasets import tokenizer_of
from thresher.recording.row_numbers import ROWS, number_rows
from thresher.recording.step import LABELS, Step

ModelHook = Callable[[nn.Module, "TrainerHooks"], list[RemovableHandle]]
IN_TRAINING = ("get_train_dataloader", "training_step")
ATTRIBUTE = "thresher_hooks"


@dataclass(frozen=True)
class Observer:
    """What follows a training: `on_step` is called after each backward pass, `callback` at the events of the trainer.

    `model_hooks` are put on the model for the time of the training, `change_loader` changes the train data loader. One that is
    `first` is asked before all others. With `reduce`, which is called in the forward pass, the output of the model is not kept.
    """

    on_step: Callable[[Step], None]
    callback: TrainerCallback | None = None
    model_hooks: tuple[ModelHook, ...] = ()
    change_loader: Callable[[object], object] | None = None
    first: bool = False
    reduce: Callable[[Step], None] | None = None


class TrainerHooks(TrainerCallback):
    """Delivers the steps of the trainings of a trainer to observers.

    Two methods of the trainer are called through here, and the model gets hooks; however a training ends, they come off. What
    stays is `train`, so that a further training, as each trial of a hyperparameter search is, does not go by unnoticed.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        self.observers: dict[str, Observer] = {}
        self.current: Step | None = None
        self.handles: list[RemovableHandle] = []
        self.armed = False
        self.original = {"train": trainer.train}
        hf_compat.replace_methods(trainer, {"train": self.train})

    def arm(self) -> None:
        """Put the methods on the trainer for its next training, and the callbacks."""
        if self.armed:
            return
        self.armed = True
        self.original |= {name: getattr(self.trainer, name) for name in IN_TRAINING}
        self.former = hf_compat.replace_methods(
            self.trainer, {name: getattr(self, name) for name in IN_TRAINING}
        )
        self.trainer.add_callback(self)
        for observer in self.observers.values():
            self.add_callback_of(observer)

    def attach(self, name: str, observer: Observer) -> None:
        """Add an observer, or replace the one of the same name."""
        former = self.observers.pop(name, None)
        if former is not None and former.callback is not None:
            self.trainer.pop_callback(former.callback)
        first = observer.first
        self.observers = {name: observer, **self.observers} if first else {**self.observers, name: observer}
        self.add_callback_of(observer)

    def add_callback_of(self, observer: Observer) -> None:
        if observer.callback is not None and observer.first:
            hf_compat.add_first_callback(self.trainer, observer.callback)
        elif observer.callback is not None:
            self.trainer.add_callback(observer.callback)

    def train(self, *args: Any, **kwargs: Any) -> Any:
        """The trainer's own training; after it only this method stays on the trainer, for a further one."""
        self.arm()
        try:
            return self.original["train"](*args, **kwargs)
        finally:
            self.disarm()

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
        items = args[0] if args else kwargs.get("num_items_in_batch")
        self.current = step = Step(rows.to(labels.device), dict(inputs), labels, num_items=items)
        try:
            loss: Tensor = self.original["training_step"](model, inputs, *args, **kwargs)
        finally:
            self.current = None
        step.loss = loss.detach()
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
        if self.current is not None and module.training:
            step = self.current
            step.output, step.output_gradient = output, None
            step.passes += 1
            reducing = [one.reduce for one in self.observers.values() if one.reduce is not None]
            for reduce in reducing:
                reduce(step)
            if reducing:
                step.output = None
                return
            logits = step.raw_logits
            if logits is not None and logits.requires_grad:
                logits.register_hook(partial(setattr, step, "output_gradient"))  # type: ignore[no-untyped-call]

    def remove_model_hooks(self) -> None:
        for handle in self.handles:
            handle.remove()
        self.handles = []

    def disarm(self) -> None:
        """Leave the model and the trainer as they were, but for `train`."""
        if not self.armed:
            return
        self.armed = False
        self.remove_model_hooks()
        hf_compat.restore_methods(self.trainer, IN_TRAINING, self.former)
        for callback in (self, *(observer.callback for observer in self.observers.values())):
            if callback is not None:
                self.trainer.pop_callback(callback)


def labels_in(trainer: Trainer, inputs: dict[str, Any]) -> Tensor:
    """The labels of a batch, (B,), (B, 1) or (B, T).

    Raises UserError: the batch has none.
    """
    # Of a model whose forward takes **inputs, the Trainer knows no names of labels.
    names = trainer.label_names or LABELS
    labels = next((inputs[name] for name in names if name in inputs), None)
    if not isinstance(labels, Tensor):
        raise UserError(
            f"the batches of this Trainer have no {' or '.join(names)}; they have {', '.join(inputs)}; name the labels in"
            " TrainingArguments(label_names=[...])"
        )
    return labels


def hooks_of(trainer: Trainer) -> TrainerHooks:
    """The hooks of a trainer, on it for its next training; a second call returns the same ones."""
    if ATTRIBUTE not in vars(trainer):
        setattr(trainer, ATTRIBUTE, TrainerHooks(trainer))
    hooks: TrainerHooks = getattr(trainer, ATTRIBUTE)
    hooks.arm()
    return hooks


def pads_right(trainer: Trainer) -> bool:
    """Whether padding is known to be at the end of rows."""
    return getattr(tokenizer_of(trainer), "padding_side", "unknown") == "right"
