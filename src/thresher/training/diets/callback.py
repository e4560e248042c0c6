"""The callback that puts a trainer on a diet: each epoch uses the rows that a method chooses, on the schedule of all rows.

A trainer plans its schedule for epochs of full length. On a diet an epoch has fewer steps; each then advances the learning rate
by more than one scheduler step, and at the end of an epoch the step count is set to that of a full epoch. So warm-up, decay,
saves by epoch and resuming from a checkpoint work as without a diet.
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
from thresher.recording.loss_check import refuse_other_labels
from thresher.recording.model_hooks import classifier_layer, out_features
from thresher.recording.step import Step
from thresher.recording.supported import refuse_step, refuse_two_passes
from thresher.recording.trainer_hooks import TrainerHooks
from thresher.training.diets import find
from thresher.training.diets.diet_state import DietState, EpochFacts
from thresher.training.diets.epoch_state import EpochState, Mask, Numbers
from thresher.training.diets.registry import own
from thresher.training.diets.rescore import rescore
from thresher.training.diets.row_scores import RowScores
from thresher.training.diets.score import SCORES, RowScore
from thresher.training.diets.subset_sampler import SubsetSampler, use_subset


class DietCallback(TrainerCallback):
    """Chooses the rows of each epoch; `facts()` sums up the training once it has ended."""

    def __init__(self, trainer: Trainer, method: str, options: dict[str, float], score: RowScore) -> None:
        self.trainer, self.method, self.options, self.score = trainer, method, options, score
        self.checked = False
        self.own_score = score not in SCORES.values()
        self.state = DietState(RowScores(0))

    @property
    def keep(self) -> Mask:
        """The rows of this epoch, (N,)."""
        assert self.state.rows is not None
        return self.state.rows.keep

    def use_epoch_rows(self, loader: Any) -> Any:
        """A train data loader that uses this epoch's rows only."""
        self.loader = loader
        self.sampler: SubsetSampler = use_subset(loader, lambda: self.keep, self.whole_steps)
        return loader

    def whole_steps(self, rows: int) -> int:
        """How many of `rows` rows fill whole steps of accumulated gradients; a trainer would ignore the rest."""
        steps = self.trainer.args.gradient_accumulation_steps
        if steps == 1 or rows == len(self.keep):
            return rows
        return max(rows - rows % (steps * self.rows_per_batch), min(rows, steps * self.rows_per_batch))

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Start without scores, or with the state beside the checkpoint that the training resumes from.

        Warns of a training that ends with its first epoch, in which no row has a score yet.
        """
        self.rows_per_batch = int(self.loader.total_batch_size)
        self.steps = math.ceil(len(self.loader) / args.gradient_accumulation_steps)
        if state.max_steps <= self.steps:
            warn(
                f"diet {self.method}: the first epoch uses all rows, and there is no other; train for more epochs"
            )
        self.resumed = False
        self.state = DietState(RowScores(len(self.trainer.train_dataset)))
        if self.options.get("restart"):
            weights = self.trainer.model.state_dict()
            self.state.initial = {name: value.detach().clone() for name, value in weights.items()}
        if state.global_step:
            self.state.load(Path(args.output_dir) / f"checkpoint-{state.global_step}")
            self.resumed = state.global_step % self.steps > 0

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Choose the rows of this epoch; an epoch that is resumed halfway keeps its rows."""
        # Not state.epoch, which already counts the next epoch at the last step of a short one.
        self.epoch = state.global_step // self.steps
        self.state.scores.settle()
        self.clock = time.monotonic()
        if not self.resumed:
            self.state.rescored = 0
            rows = find(self.method).function(self.epoch_state(args, state), **own(self.options))
            self.state.rows = rows.with_mean_weight_one() if self.options["same_steps"] else rows
            if rows.restart:
                self.restart()
        self.resumed = False
        if self.options["same_steps"]:
            self.sampler.shrink_batches(int(self.keep.sum()))
            self.rows_per_batch = int(self.loader.total_batch_size)
        self.count = self.whole_steps(int(self.keep.sum()))
        batches = -(-self.count // self.rows_per_batch)
        self.planned = max(1, -(-batches // args.gradient_accumulation_steps))

    def epoch_state(self, args: TrainingArguments, state: TrainerState) -> EpochState:
        """The input of the method that chooses the rows."""
        scores = self.state.scores

        def rescore_all() -> Numbers:
            self.state.rescored = len(scores.score)
            rescore(self.trainer, self.loader, scores, self.score)
            return scores.score

        known = (scores.score, scores.mean, scores.label, self.state.rows)
        random = np.random.default_rng((args.seed, self.epoch))
        return EpochState(self.epoch, state.num_train_epochs, *known, random, rescore_all)

    def restart(self) -> None:
        """Start over: initial weights, no optimiser state, the whole schedule for the remaining epochs."""
        assert self.state.initial is not None
        self.trainer.model.load_state_dict(self.state.initial)
        hf_compat.torch_optimizer(self.trainer.optimizer).state.clear()
        self.state.started = self.epoch
        self.trainer.lr_scheduler.last_epoch = -1
        self.trainer.lr_scheduler.step()

    def on_step(self, step: Step) -> None:
        """Collect the scores of the rows of a training step."""
        refuse_two_passes(step)
        if not self.checked:
            self.check(step)
            self.checked = True
        known = {"label": step.labels} if step.labels.dim() == 1 else {}
        if step.mask is not None:
            known["length"] = step.mask.sum(-1)
        self.state.scores.note(row=step.rows, score=self.score(step), **known)

    def check(self, step: Step) -> None:
        """Refuse, before any weight has changed, rows that cannot be scored, or weighed at the last layer."""
        model = self.trainer.model
        if not self.own_score:
            refuse_step(step, type(model).__name__)
            refuse_other_labels(step, self.trainer)
        if not find(self.method).weighs:
            return
        layer, logits = classifier_layer(model), step.raw_logits
        if layer is None or logits is None or out_features(layer) != logits.shape[-1]:
            raise UserError(
                f"diet '{self.method}' weighs rows where the last linear layer gives the logits, and {type(model).__name__} is"
                " not built so; use another diet"
            )

    def hook_weights(self, model: nn.Module, hooks: TrainerHooks) -> list[RemovableHandle]:
        """Multiply the gradient of each row at the logits by the weight of the row."""
        layer = classifier_layer(model)

        def forward(module: nn.Module, inputs: object, output: Tensor) -> None:
            step, weight = hooks.current, None if self.state.rows is None else self.state.rows.weight
            if step is None or weight is None or not output.requires_grad:
                return
            step.weight = torch.from_numpy(weight[step.rows.cpu().numpy()]).to(output.device)  # (B,)
            shaped = step.weight.view(-1, *[1] * (output.dim() - 1)).to(output.dtype)
            output.register_hook(lambda gradient: gradient * shaped)  # type: ignore[no-untyped-call]

        return [] if layer is None else [layer.register_forward_hook(forward)]

    def position(self, state: TrainerState) -> int:
        """The step that a training on all rows would have reached."""
        done = state.global_step - self.epoch * self.steps
        return self.epoch * self.steps + min(self.steps, round(done * self.steps / self.planned))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        """Move the epoch and the learning rate to those of a training on all rows."""
        at, scheduler = self.position(state), self.trainer.lr_scheduler
        state.epoch = at / self.steps
        if not isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            begun, total = self.state.started * self.steps, state.max_steps
            target = round((at - begun) * total / max(1, total - begun))
            while scheduler.last_epoch < target:
                scheduler.step()
        if at >= state.max_steps:
            control.should_training_stop = True

    def epoch_facts(self, state: TrainerState) -> EpochFacts:
        """Rows, steps and seconds of this epoch so far."""
        steps, seconds = state.global_step - self.epoch * self.steps, round(time.monotonic() - self.clock, 3)
        return {"rows": self.count, "steps": steps, "rescored": self.state.rescored, "seconds": seconds}

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Set the step count to that of an epoch on all rows."""
        self.state.epochs.append(self.epoch_facts(state))
        to = None
        if self.state.epochs[-1]["steps"] >= self.planned:
            to = (self.epoch + 1) * self.steps
        elif self.position(state) >= state.max_steps:
            to = state.max_steps
        if to is not None:
            hf_compat.move_step_count(self.trainer, state, to, to / self.steps)

    def on_train_end(self, *_: object, **__: object) -> None:
        """Warn if the diet skipped no row."""
        epochs = self.state.epochs
        if len(epochs) > 1 and all(one["rows"] == len(self.keep) for one in epochs):
            warn(
                f"diet {self.method}: all {len(epochs)} epochs used all rows; train for more epochs or change its options"
            )

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Save the state of the diet with the checkpoint."""
        self.state.scores.settle()
        if not args.should_save or self.state.rows is None:
            return
        # After the last step of a full epoch a resume starts with the next one, before this one's on_epoch_end was called.
        epochs = self.state.epochs
        if state.global_step == (self.epoch + 1) * self.steps and len(epochs) == self.epoch:
            epochs = [*epochs, self.epoch_facts(state)]
        self.state.save(Path(args.output_dir) / f"checkpoint-{state.global_step}", epochs)

    def facts(self) -> dict[str, Any]:
        """Per epoch the rows trained on, optimiser steps, rows rescored, seconds; and their sums.

        Raises UserError: the training has not begun.
        """
        epochs = self.state.epochs
        if self.state.rows is None:
            raise UserError("the training on a diet has not begun; call facts() after it")
        rows, steps, rescored = (sum(one[name] for one in epochs) for name in ("rows", "steps", "rescored"))
        share = rows / (len(self.keep) * len(epochs)) if epochs else 0.0
        about = {"method": self.method, "options": dict(self.options), "epochs": epochs}
        return {**about, "rows": rows, "share": share, "steps": steps, "rescored": rescored}
