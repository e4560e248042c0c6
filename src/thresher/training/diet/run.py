"""A trainer on a diet: each epoch takes the rows that a method chooses, and the schedule keeps to the share of epochs done.

A trainer lays out its schedule for epochs of full length. On a diet an epoch has fewer steps; the learning rate then moves on
by more than one place per step, and at the end of an epoch the step count is set to what a full one would have reached. So
warm-up, decay, saves by epoch and resuming from a checkpoint are what they are without a diet.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import TrainerCallback

from thresher.errors import UserError
from thresher.progress import warn
from thresher.run.files import write
from thresher.training.diet import check_options, find
from thresher.training.diet.ledger import Ledger
from thresher.training.diet.moment import Moment, Portion
from thresher.training.diet.order import PortionOrder, put_before
from thresher.training.diet.registry import own
from thresher.training.diet.rescore import rescore
from thresher.training.diet.score import SCORES, RowScore
from thresher.training.watch.flow import classifier_layer
from thresher.training.watch.supported import refuse_unsupported
from thresher.training.watch.tap import Step, Tap, tap

STATE = "thresher-diet.npz"


def put_on_diet(
    trainer: Any, method: str, score: RowScore | str | None, options: Mapping[str, Any]
) -> Dieting:
    """`Dieting` for a trainer, with everything about it checked.

    Raises
    ------
    UserError
        an unknown method, option or score, or a trainer whose rows cannot be followed.
    """
    checked = check_options(method, options)
    refuse_unsupported(trainer, vog=False)
    chosen = score or find(method).score
    if isinstance(chosen, str) and chosen not in SCORES:
        raise UserError(f"unknown score '{chosen}' for a diet; there are {', '.join(SCORES)}, or a function")
    if trainer.args.train_sampling_strategy == "batch_rebalance":
        raise UserError(
            "this Trainer cannot be put on a diet: batch_rebalance makes batches by itself, once for all"
        )
    if trainer.args.dataloader_drop_last:
        raise UserError(
            "this Trainer cannot be put on a diet: with dataloader_drop_last the rows of the last batch are left out, whichever"
            " they are; set it to False"
        )
    return Dieting(tap(trainer), method, checked, SCORES[chosen] if isinstance(chosen, str) else chosen)


class Dieting(TrainerCallback):
    """Puts a trainer on a diet; `facts()` tells afterwards what it took."""

    def __init__(self, tap: Tap, method: str, options: dict[str, float], score: RowScore) -> None:
        self.tap, self.method, self.options, self.score = tap, method, options, score
        self.portion: Portion | None = None
        self.weighs, self.checked = find(method).weighs, False
        self.epochs: list[dict[str, Any]] = []
        tap.listeners.append(self.take)
        tap.loaders.append(self.ordered)
        # First, so that whatever else hooks on to the classifier sees the weighted gradient.
        tap.hooks.insert(0, self.weigh)
        # Before the others, which may copy a checkpoint as soon as it is saved.
        tap.trainer.callback_handler.callbacks.insert(0, self)

    def ordered(self, loader: Any) -> Any:
        """A train data loader that takes this epoch's rows only."""
        self.order: PortionOrder = put_before(loader, lambda: self.keep, self.whole)
        return loader

    @property
    def keep(self) -> np.ndarray:
        """The rows of this epoch."""
        assert self.portion is not None
        return self.portion.keep

    def whole(self, rows: int) -> int:
        """How many of `rows` rows make whole steps where gradients are accumulated: a trainer would let the rest lie."""
        steps = self.tap.trainer.args.gradient_accumulation_steps
        if steps == 1 or rows == len(self.ledger.score):
            return rows
        return max(rows - rows % (steps * self.rows_per_batch), min(rows, steps * self.rows_per_batch))

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        trainer = self.tap.trainer
        self.loader = given["train_dataloader"]
        self.rows_per_batch = int(self.loader.total_batch_size)
        self.steps = math.ceil(len(self.loader) / args.gradient_accumulation_steps)
        self.ledger = Ledger(len(trainer.train_dataset))
        self.started, self.epochs, self.resumed = 0, [], False
        self.first = self.initial(given["model"])
        if state.global_step:
            self.restore(Path(args.output_dir) / f"checkpoint-{state.global_step}" / STATE)
            self.resumed = state.global_step % self.steps > 0

    def initial(self, model: nn.Module) -> dict[str, torch.Tensor] | None:
        """The weights to begin anew from, where the method does that."""
        if not self.options.get("restart"):
            return None
        return {name: value.detach().clone() for name, value in model.state_dict().items()}

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        # Not by state.epoch, which at the last step of a short epoch says that the next one has begun.
        self.epoch = state.global_step // self.steps
        self.ledger.settle()
        self.clock = time.monotonic()
        if not self.resumed:
            self.rescored = 0
            self.portion = find(self.method).function(
                self.moment(args, state, given["model"]), **own(self.options)
            )
            if self.options["same_steps"]:
                self.portion = self.portion.level()
            if self.portion.restart:
                self.restart(given["model"], given["optimizer"], given["lr_scheduler"])
        self.resumed = False
        if self.options["same_steps"]:
            self.order.thin(int(self.keep.sum()))
            self.rows_per_batch = int(self.loader.total_batch_size)
        rows = self.whole(int(self.keep.sum()))
        self.rows = rows
        batches = -(-rows // self.rows_per_batch)
        self.planned = max(1, -(-batches // args.gradient_accumulation_steps))

    def moment(self, args: Any, state: Any, model: nn.Module) -> Moment:
        """What the method is asked."""

        def again() -> np.ndarray:
            self.rescored = len(self.ledger.score)
            rescore(self.tap.trainer, model, self.loader, self.ledger, self.score)
            return self.ledger.score

        ledger = self.ledger
        random = np.random.default_rng((args.seed, self.epoch))
        known = (ledger.score, ledger.mean, ledger.label)
        return Moment(self.epoch, state.num_train_epochs, *known, self.portion, random, again)

    def restart(self, model: nn.Module, optimizer: Any, scheduler: Any) -> None:
        """Begin anew: first weights, no momentum, the whole schedule for the epochs that are left."""
        assert self.first is not None
        model.load_state_dict(self.first)
        getattr(optimizer, "optimizer", optimizer).state.clear()
        self.started = self.epoch
        scheduler.last_epoch = -1
        scheduler.step()

    def take(self, step: Step) -> None:
        """Note the scores of a training step."""
        if self.weighs and not self.checked:
            self.check(step)
        labels = step.labels if step.labels.dim() == 1 else None
        self.ledger.note(
            step.rows, self.score(step), labels, None if step.mask is None else step.mask.sum(-1)
        )

    def check(self, step: Step) -> None:
        """Refuse, before any weight has changed, a model whose rows cannot be weighed at its last layer."""
        layer, logits = classifier_layer(self.tap.trainer.model), step.named("logits")
        if layer is None or logits is None or layer.out_features != logits.shape[-1]:
            raise UserError(
                f"diet '{self.method}' weighs rows where the last linear layer gives the logits, and"
                f" {type(self.tap.trainer.model).__name__} is not built so; take another diet"
            )
        self.checked = True

    def weigh(self, model: nn.Module, tap: Tap) -> list[Any]:
        """Multiply the gradient of each row by its weight, where it leaves the loss."""
        layer = classifier_layer(model)
        if layer is None:
            return []

        def hook(module: nn.Module, given: Any, output: torch.Tensor) -> None:
            step, weight = tap.now, None if self.portion is None else self.portion.weight
            if step is None or weight is None or not output.requires_grad:
                return
            found = torch.from_numpy(weight[step.rows.cpu().numpy()]).to(output.device)
            step.seen["weight"] = found
            shaped = found.view(-1, *[1] * (output.dim() - 1)).to(output.dtype)
            output.register_hook(lambda gradient: gradient * shaped)  # type: ignore[no-untyped-call]

        return [layer.register_forward_hook(hook)]

    def position(self, state: Any) -> int:
        """How far a training of full epochs would be, in steps."""
        done = state.global_step - self.epoch * self.steps
        return self.epoch * self.steps + min(self.steps, round(done * self.steps / self.planned))

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        at = self.position(state)
        state.epoch = at / self.steps
        self.turn(given["lr_scheduler"], at, state.max_steps)
        if at >= state.max_steps:
            control.should_training_stop = True

    def turn(self, scheduler: Any, at: int, total: int) -> None:
        """Move the learning rate to where a training of full epochs would have it."""
        begun = self.started * self.steps
        target = round((at - begun) * total / max(1, total - begun))
        if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            return
        while scheduler.last_epoch < target:
            scheduler.step()

    def told(self, state: Any) -> dict[str, Any]:
        """What this epoch did so far."""
        seconds = round(time.monotonic() - self.clock, 3)
        done = state.global_step - self.epoch * self.steps
        return {"rows": self.rows, "steps": done, "rescored": self.rescored, "seconds": seconds}

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.epochs.append(self.told(state))
        if self.epochs[-1]["steps"] >= self.planned:
            self.jump(state, (self.epoch + 1) * self.steps)
        elif self.position(state) >= state.max_steps:
            self.jump(state, state.max_steps)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.epochs and all(one["rows"] == len(self.ledger.score) for one in self.epochs):
            warn(
                f"diet {self.method}: all {len(self.epochs)} epochs took all rows; give it more epochs or other options"
            )

    def jump(self, state: Any, to: int) -> None:
        """Set the step count to what a training on all rows would have reached."""
        ahead = to - state.global_step
        state.global_step, state.epoch = to, to / self.steps
        # The loss that is logged is a mean over the steps since the last time.
        self.tap.trainer._globalstep_last_logged += ahead

    def facts(self) -> dict[str, Any]:
        """What was done: per epoch the rows trained on, optimiser steps, rows scored anew, seconds; and their sums.

        Raises
        ------
        UserError
            the training has not begun.
        """
        if not hasattr(self, "ledger"):
            raise UserError("the training on a diet has not begun; facts() tells of it afterwards")
        total = len(self.ledger.score) * len(self.epochs)
        visits = sum(one["rows"] for one in self.epochs)
        return {
            "method": self.method,
            "options": dict(self.options),
            "epochs": self.epochs,
            "steps": sum(one["steps"] for one in self.epochs),
            "visits": visits,
            "share": visits / total if total else 0.0,
            "rescored": sum(one["rescored"] for one in self.epochs),
        }

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.ledger.settle()
        if not args.should_save or self.portion is None:
            return
        arrays = {**self.ledger.arrays(), "keep": self.portion.keep, "started": np.int64(self.started)}
        arrays["rescored"] = np.int64(self.rescored)
        # After the last step of a full epoch a resume begins with the next one, and this one's end has not come yet.
        over = state.global_step == (self.epoch + 1) * self.steps and len(self.epochs) == self.epoch
        arrays["epochs"] = np.array(json.dumps([*self.epochs, self.told(state)] if over else self.epochs))
        if self.portion.weight is not None:
            arrays["weight"] = self.portion.weight
        if self.first is not None:
            arrays |= {f"first.{name}": value.float().cpu().numpy() for name, value in self.first.items()}

        def save(path: Path) -> None:
            with path.open("wb") as handle:
                np.savez(handle, **arrays)  # type: ignore[arg-type]

        write(Path(args.output_dir) / f"checkpoint-{state.global_step}" / STATE, save)

    def restore(self, path: Path) -> None:
        """Go on with what a checkpoint holds."""
        if not path.is_file():
            raise UserError(
                f"{path}: absent; a training on a diet resumes from a checkpoint of its own in output_dir"
            )
        with np.load(path) as found:
            self.ledger.restore(dict(found))
            self.started = int(found["started"])
            self.portion = Portion(found["keep"], found.get("weight"))
            self.epochs, self.rescored = json.loads(str(found["epochs"])), int(found.get("rescored", 0))
            first = {name[6:]: torch.from_numpy(found[name]) for name in found if name.startswith("first.")}
            self.first = first or self.first
