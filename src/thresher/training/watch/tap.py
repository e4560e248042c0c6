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

    `inputs` is the batch as the model got it, `output` what it gave, and `seen` what further hooks found.
    """

    rows: Tensor
    inputs: dict[str, Any]
    target: Tensor
    output: Any = None
    seen: dict[str, Any] = field(default_factory=dict)

    @property
    def labels(self) -> Tensor:
        """(B,), or (B, T) of a token classifier."""
        logits = self.named("logits")
        return self.target.flatten() if logits is not None and logits.dim() == 2 else self.target

    @property
    def mask(self) -> Tensor | None:
        """(B, T), 1 for true tokens, where the batch has it."""
        return self.inputs.get("attention_mask")

    @property
    def logits(self) -> Tensor:
        """(B, K) or (B, T, K), detached."""
        found = self.named("logits")
        assert found is not None
        return found

    def named(self, name: str) -> Tensor | None:
        """A tensor of the output by its name, detached; None where there is none."""
        found = self.output.get(name) if isinstance(self.output, dict) else getattr(self.output, name, None)
        return found.detach() if isinstance(found, Tensor) else None


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
        rows, labels = inputs.pop(ROWS), labels_in(self.trainer, inputs)
        self.now = Step(rows.to(labels.device), dict(inputs), labels)
        try:
            loss: Tensor = self.step(model, inputs, *more, **named)
            now = self.now
        finally:
            self.now = None
        for listener in self.listeners:
            listener(now)
        return loss

    def keep_output(self, module: nn.Module, given: Any, output: Any) -> None:
        """Forward hook of the whole model."""
        if self.now is None or not module.training:
            return
        if self.now.output is not None:
            raise UserError(
                "the training step calls the model twice; which logits are the row's is not known, so it cannot be watched"
            )
        self.now.output = output

    def open(self, model: nn.Module) -> None:
        """Put the hooks on the model; a training that starts over with smaller batches opens twice."""
        for handle in self.handles:
            handle.remove()
        self.handles = [model.register_forward_hook(self.keep_output)]
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


def labels_in(trainer: Any, inputs: Any) -> Tensor:
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


def tap(trainer: Any) -> Tap:
    """The tap of a trainer; a second call gives the same one."""
    if "thresher_tap" not in vars(trainer):
        trainer.thresher_tap = Tap(trainer)
    return trainer.thresher_tap
