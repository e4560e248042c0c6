"""A trainer on a diet: each epoch uses the rows that a method chooses, and the schedule follows the share of epochs done.

A trainer plans its schedule for epochs of full length. On a diet an epoch has fewer steps; the learning rate then moves by more
than one place per step, and at the end of an epoch the step count is set to what a full one would have reached. So warm-up,
decay, saves by epoch and resuming from a checkpoint are what they are without a diet.
"""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from thresher.errors import UserError
from thresher.progress import warn
from thresher.recording import hf_compat
from thresher.recording.model_hooks import classifier_layer
from thresher.recording.step import Step
from thresher.recording.trainer_hooks import TrainerHooks
from thresher.training.diets import find
from thresher.training.diets.epoch_state import EpochRows, EpochState, Mask, Numbers
from thresher.training.diets.registry import own
from thresher.training.diets.rescore import rescore
from thresher.training.diets.row_scores import RowScores
from thresher.training.diets.saved_state import SavedState, Weights, load_state, save_state
from thresher.training.diets.score import RowScore
from thresher.training.diets.subset_sampler import SubsetSampler, use_subset


class DietCallback(TrainerCallback):
    """Chooses the rows of each epoch; `facts()` returns what was done once the training has ended."""

    def __init__(self, trainer: Trainer, method: str, options: dict[str, float], score: RowScore) -> None:
        self.trainer, self.method, self.options, self.score = trainer, method, options, score
        self.rows: EpochRows | None = None
        self.scores: RowScores | None = None
        self.checked = not find(method).weighs
        self.epochs: list[dict[str, Any]] = []

    def use_epoch_rows(self, loader: Any) -> Any:
        """A train data loader that uses this epoch's rows only."""
        self.sampler: SubsetSampler = use_subset(loader, lambda: self.keep, self.whole)
        return loader

    @property
    def keep(self) -> Mask:
        """The rows of this epoch, (N,)."""
        assert self.rows is not None
        return self.rows.keep

    @property
    def known(self) -> RowScores:
        """The scores so far."""
        assert self.scores is not None
        return self.scores

    def whole(self, rows: int) -> int:
        """How many of `rows` rows make whole steps where gradients are accumulated: a trainer would ignore the rest."""
        steps = self.trainer.args.gradient_accumulation_steps
        if steps == 1 or rows == len(self.known.score):
            return rows
        return max(rows - rows % (steps * self.rows_per_batch), min(rows, steps * self.rows_per_batch))

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        *_: object,
        model: nn.Module,
        train_dataloader: Any,
        **__: object,
    ) -> None:
        """Start without scores, or with the state beside the checkpoint that the training resumes from."""
        self.loader = train_dataloader
        self.rows_per_batch = int(self.loader.total_batch_size)
        self.steps = math.ceil(len(self.loader) / args.gradient_accumulation_steps)
        self.scores = RowScores(len(self.trainer.train_dataset))
        self.started, self.epochs, self.resumed = 0, [], False
        self.initial: Weights | None = None
        if self.options.get("restart"):
            self.initial = {name: value.detach().clone() for name, value in model.state_dict().items()}
        if state.global_step:
            self.restore(load_state(Path(args.output_dir) / f"checkpoint-{state.global_step}"))
            self.resumed = state.global_step % self.steps > 0

    def restore(self, saved: SavedState) -> None:
        """Continue with what a checkpoint holds."""
        self.known.restore(saved.scores)
        self.rows, self.epochs = saved.rows, saved.epochs
        self.started, self.rescored = saved.started, saved.rescored
        self.initial = saved.initial or self.initial

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        *_: object,
        model: nn.Module,
        optimizer: Any,
        lr_scheduler: Any,
        **__: object,
    ) -> None:
        """Choose the rows of this epoch; one that is resumed in its middle keeps its own."""
        # Not by state.epoch, which at the last step of a short epoch says that the next one has begun.
        self.epoch = state.global_step // self.steps
        self.known.settle()
        self.clock = time.monotonic()
        if not self.resumed:
            self.rescored = 0
            rows = find(self.method).function(self.epoch_state(args, state, model), **own(self.options))
            self.rows = rows.with_mean_weight_one() if self.options["same_steps"] else rows
            if rows.restart:
                self.restart(model, optimizer, lr_scheduler)
        self.resumed = False
        if self.options["same_steps"]:
            self.sampler.shrink_batches(int(self.keep.sum()))
            self.rows_per_batch = int(self.loader.total_batch_size)
        self.count = self.whole(int(self.keep.sum()))
        batches = -(-self.count // self.rows_per_batch)
        self.planned = max(1, -(-batches // args.gradient_accumulation_steps))

    def epoch_state(self, args: TrainingArguments, state: TrainerState, model: nn.Module) -> EpochState:
        """What the method is given."""
        scores = self.known

        def rescore_all() -> Numbers:
            self.rescored = len(scores.score)
            rescore(self.trainer, model, self.loader, scores, self.score)
            return scores.score

        random = np.random.default_rng((args.seed, self.epoch))
        known = (scores.score, scores.mean, scores.label)
        return EpochState(self.epoch, state.num_train_epochs, *known, self.rows, random, rescore_all)

    def restart(self, model: nn.Module, optimizer: Any, scheduler: Any) -> None:
        """Start over: initial weights, no momentum, the whole schedule for the epochs that are left."""
        assert self.initial is not None
        model.load_state_dict(self.initial)
        hf_compat.torch_optimizer(optimizer).state.clear()
        self.started = self.epoch
        scheduler.last_epoch = -1
        scheduler.step()

    def on_step(self, step: Step) -> None:
        """Note the scores of a training step."""
        if not self.checked:
            self.check(step)
        labels = step.labels if step.labels.dim() == 1 else None
        lengths = None if step.mask is None else step.mask.sum(-1)
        self.known.note(step.rows, self.score(step), labels, lengths)

    def check(self, step: Step) -> None:
        """Refuse, before any weight has changed, a model with a last layer at which rows cannot be weighed."""
        layer, logits = classifier_layer(self.trainer.model), step.named("logits")
        if layer is None or logits is None or layer.out_features != logits.shape[-1]:
            raise UserError(
                f"diet '{self.method}' weighs rows where the last linear layer gives the logits, and"
                f" {type(self.trainer.model).__name__} is not built so; use another diet"
            )
        self.checked = True

    def hook_weights(self, model: nn.Module, hooks: TrainerHooks) -> list[RemovableHandle]:
        """Multiply the gradient of each row by its weight, where it leaves the loss."""
        layer = classifier_layer(model)

        def forward(module: nn.Module, inputs: object, output: Tensor) -> None:
            step, weight = hooks.current, None if self.rows is None else self.rows.weight
            if step is None or weight is None or not output.requires_grad:
                return
            step.weight = torch.from_numpy(weight[step.rows.cpu().numpy()]).to(output.device)  # (B,)
            shaped = step.weight.view(-1, *[1] * (output.dim() - 1)).to(output.dtype)
            output.register_hook(lambda gradient: gradient * shaped)  # type: ignore[no-untyped-call]

        return [] if layer is None else [layer.register_forward_hook(forward)]

    def position(self, state: TrainerState) -> int:
        """How far a training of full epochs would be, in steps."""
        done = state.global_step - self.epoch * self.steps
        return self.epoch * self.steps + min(self.steps, round(done * self.steps / self.planned))

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        lr_scheduler: Any,
        **_: object,
    ) -> None:
        """Move the epoch and the learning rate to where a training of full epochs would have them."""
        at = self.position(state)
        state.epoch = at / self.steps
        if not isinstance(lr_scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            begun, total = self.started * self.steps, state.max_steps
            target = round((at - begun) * total / max(1, total - begun))
            while lr_scheduler.last_epoch < target:
                lr_scheduler.step()
        if at >= state.max_steps:
            control.should_training_stop = True

    def epoch_facts(self, state: TrainerState) -> dict[str, Any]:
        """What this epoch has done so far."""
        return {
            "rows": self.count,
            "steps": state.global_step - self.epoch * self.steps,
            "rescored": self.rescored,
            "seconds": round(time.monotonic() - self.clock, 3),
        }

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Set the step count to what an epoch on all rows would have reached."""
        self.epochs.append(self.epoch_facts(state))
        if self.epochs[-1]["steps"] >= self.planned:
            self.move_to((self.epoch + 1) * self.steps, state)
        elif self.position(state) >= state.max_steps:
            self.move_to(state.max_steps, state)

    def move_to(self, step: int, state: TrainerState) -> None:
        """Continue counting at a later step."""
        hf_compat.move_step_count(self.trainer, state, step, step / self.steps)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Warn if the diet left nothing out."""
        if self.epochs and all(one["rows"] == len(self.known.score) for one in self.epochs):
            warn(
                f"diet {self.method}: all {len(self.epochs)} epochs used all rows; give it more epochs or other options"
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Save the state of the diet with the checkpoint."""
        self.known.settle()
        if not args.should_save or self.rows is None:
            return
        # After the last step of a full epoch a resume begins with the next one, and this one's end has not come yet.
        over = state.global_step == (self.epoch + 1) * self.steps and len(self.epochs) == self.epoch
        epochs = [*self.epochs, self.epoch_facts(state)] if over else self.epochs
        save_state(
            Path(args.output_dir) / f"checkpoint-{state.global_step}",
            SavedState(self.known.arrays(), self.rows, epochs, self.started, self.rescored, self.initial),
        )

    def facts(self) -> dict[str, Any]:
        """What was done: per epoch the rows trained on, optimiser steps, rows scored again, seconds; and their sums.

        Raises
        ------
        UserError
            the training has not begun.
        """
        if self.scores is None:
            raise UserError("the training on a diet has not begun; call facts() after it")
        rows, total = sum(one["rows"] for one in self.epochs), len(self.scores.score) * len(self.epochs)
        return {
            "method": self.method,
            "options": dict(self.options),
            "epochs": self.epochs,
            "rows": rows,
            "share": rows / total if total else 0.0,
            "steps": sum(one["steps"] for one in self.epochs),
            "rescored": sum(one["rescored"] for one in self.epochs),
        }
