"""The recorder: takes every step of a watched training, keeps the visits of an epoch in memory and the rest in files."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import TrainerCallback

from thresher.errors import UserError
from thresher.training.watch import store
from thresher.training.watch.flow import hook_classifier, hook_embeddings
from thresher.training.watch.sketch import RunningMoments, Signs, sketch
from thresher.training.watch.tap import Step, Tap
from thresher.training.watch.visit import (
    classifier_sq_norm,
    is_cross_entropy,
    loss_scale,
    visit_of_rows,
    visit_of_tokens,
)

# Steps between two copies from the device: waiting for it at every step would slow a GPU down.
STEPS_PER_COPY = 64
# The loss is looked at in steps 1, 2, 4, ... up to here: before anything is learned, a focal loss looks like the cross-entropy.
STEPS_CHECKED = 64


def pads_right(trainer: Any) -> bool:
    """Whether padding is known to stand at the end of rows."""
    tokenizer = trainer.processing_class or getattr(trainer.data_collator, "tokenizer", None)
    return getattr(tokenizer, "padding_side", "unknown") == "right"


class Recorder(TrainerCallback):
    """Records a training into `run`; the first process calls `room` before it writes visits, and `done` when it has ended.

    Parameters
    ----------
    vog_width
        numbers per row in the sketch of online VoG; 0 leaves VoG out.
    seed
        of the sketch.
    """

    def __init__(
        self,
        tap: Tap,
        run: Path,
        vog_width: int,
        seed: int,
        room: Callable[[], None],
        done: Callable[[], None],
    ) -> None:
        self.tap, self.run, self.vog_width, self.seed = tap, run, vog_width, seed
        self.room, self.done = room, done
        self.over = False
        tap.listeners.append(self.take)
        tap.hooks.append(hook_classifier)
        if vog_width:
            tap.hooks.append(hook_embeddings)
        tap.trainer.add_callback(self)

    def begin(self) -> None:
        """Empty memory."""
        self.device_side: list[dict[str, Tensor]] = []
        self.host_side: list[dict[str, np.ndarray]] = []
        self.moments = (
            RunningMoments(len(self.tap.trainer.train_dataset), self.vog_width) if self.vog_width else None
        )
        self.signs: Signs | None = None
        self.epoch, self.steps, self.ghost = 0, 0, True

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.over:
            return
        self.begin()
        self.folder = store.rank_folder(self.run, args.process_index)
        self.gone: dict[Path, dict[str, np.ndarray]] = {}
        if state.global_step:
            self.resume(state.global_step, args)
        elif args.process_index == 0:
            # Whatever an earlier attempt left, with more processes perhaps; nobody writes before it is gone.
            store.remove(self.run)
        self.tap.trainer.accelerator.wait_for_everyone()

    def resume(self, step: int, args: Any) -> None:
        """Go on with what was recorded before a step; the first process does so for those that are there no more, too."""
        folders = store.rank_folders(self.run) if args.process_index == 0 else []
        left = [folder for folder in folders if store.rank_of(folder) >= args.world_size]
        for folder in (self.folder, *left):
            store.rewind(folder, step)
        if self.moments is None:
            return
        try:
            self.moments.merge(store.read_sums(self.folder, step))
            self.gone = {folder: store.read_sums(folder, step) for folder in left}
        except FileNotFoundError as error:
            raise UserError(
                f"{self.run}: the training resumes at step {step}, and the running sums of VoG were not kept there;"
                " resume from the last checkpoint, or watch with vog=False"
            ) from error

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self.epoch = math.floor((state.epoch or 0) + 1e-6)

    def take(self, step: Step) -> None:
        """One step's visits."""
        state = self.tap.trainer.state
        groups = self.tap.trainer.optimizer.param_groups
        count = len(step.rows)
        if not self.steps:
            self.check(step)
        self.steps += 1
        if self.steps.bit_count() == 1 and self.steps <= STEPS_CHECKED:
            self.check_loss(step)
        visit = visit_of_tokens(step) if step.labels.dim() == 2 else visit_of_rows(step)
        if step.mask is not None and step.mask.dim() == 2:
            visit["n_tokens"] = step.mask.sum(1)
        if self.ghost:
            visit["classifier_sq_norm"] = classifier_sq_norm(step)
        if self.moments is not None:
            visit |= self.gradient(step)
        facts = {
            "row": step.rows,
            "step": torch.full((count,), state.global_step, dtype=torch.int32),
            "epoch": torch.full((count,), self.epoch, dtype=torch.int32),
            "age": torch.full((count,), state.epoch or 0.0),
            "encoder_lr": torch.full((count,), float(groups[0]["lr"])),
            "head_lr": torch.full((count,), float(groups[-1]["lr"])),
        }
        self.device_side.append({**facts, **visit})
        if len(self.device_side) >= STEPS_PER_COPY:
            self.copy()

    def check(self, step: Step) -> None:
        """Refuse, before any weight has changed, what only a batch can tell."""
        name = type(self.tap.trainer.model).__name__
        if step.named("logits") is None:
            raise UserError(
                f"{name} gave no `logits` in the training step; only models whose output holds logits can be watched"
            )
        logits, count = step.logits, len(step.rows)
        if logits.shape[:-1] != step.labels.shape:
            raise UserError(
                f"{name} gives logits {tuple(logits.shape)} for labels {tuple(step.labels.shape)}; watched are one label per"
                " row and one per token"
            )
        if logits.shape[0] != count:
            raise UserError(f"{name} gives logits of {logits.shape[0]} rows for a batch of {count}")
        if self.moments is None:
            return
        gradient = step.seen.get("embedding_grad")
        if gradient is None:
            raise UserError(f"no gradient arrived at the embeddings of {name}; watch with vog=False")
        if gradient.dim() != 3 or len(gradient) != count:
            raise UserError(
                f"the embeddings of {name} put {count} rows into one of shape {tuple(gradient.shape)}; watch with vog=False"
            )

    def check_loss(self, step: Step) -> None:
        """Where the gradient at the output is not that of the mean cross-entropy, refuse VoG, and leave gradient norms out."""
        at_output = step.seen.get("classifier_grad")
        if (
            at_output is not None
            and at_output.shape[-1] == step.logits.shape[-1]
            and self.tap.trainer.args.label_smoothing_factor == 0
            and is_cross_entropy(step)
        ):
            return
        if self.moments is not None:
            raise UserError(
                f"the loss of {type(self.tap.trainer.model).__name__} is not the mean cross-entropy of what its last linear layer"
                " gives (class weights? another loss?), so a row's own gradient is not known; watch with vog=False"
            )
        self.ghost = False
        for on_device in self.device_side:
            on_device.pop("classifier_sq_norm", None)
        for on_host in self.host_side:
            on_host.pop("classifier_sq_norm", None)

    def gradient(self, step: Step) -> dict[str, Tensor]:
        """Squared norm (B,) and sketch (B, width) of each row's gradient at the embeddings."""
        gradient, scale = step.seen["embedding_grad"].float(), loss_scale(step)
        if self.signs is None:
            self.signs = Signs(gradient.shape[2], self.seed)
        signs = self.signs.upto(gradient.shape[1], gradient.device)
        first = None if step.mask is None or pads_right(self.tap.trainer) else step.mask.argmax(1)
        return {
            "squares": (torch.linalg.vector_norm(gradient, dim=(1, 2)) / scale).square(),
            "sketch": sketch(gradient, signs, self.vog_width, first) / scale[:, None],
        }

    def copy(self) -> None:
        """From the device to memory; what only VoG needs goes into its sums."""
        if not self.device_side:
            return
        names = self.device_side[0]
        visits = {name: torch.cat([visit[name] for visit in self.device_side]).cpu() for name in names}
        self.device_side = []
        if self.moments is not None:
            self.moments.add(visits["row"], visits.pop("squares"), visits.pop("sketch"))
        # Rows, labels and lengths come as 64 bits, and a whole epoch of them stays in memory.
        self.host_side.append(
            {name: (v.int() if v.dtype == torch.int64 else v).numpy() for name, v in visits.items()}
        )

    def flush(self) -> None:
        """From memory to a file."""
        self.copy()
        if self.host_side:
            if self.tap.trainer.args.process_index == 0:
                self.room()
            names = self.host_side[0]
            store.write_visits(
                self.folder, {name: np.concatenate([part[name] for part in self.host_side]) for name in names}
            )
            self.host_side = []

    def on_epoch_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if not self.over:
            self.flush()

    def on_save(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.over:
            return
        self.flush()
        saved = [
            int(path.name[11:])
            for path in Path(args.output_dir).glob("checkpoint-*")
            if path.name[11:].isdigit()
        ]
        for folder in self.keep_sums(state.global_step):
            store.forget_sums(folder, [*saved, state.global_step])

    def keep_sums(self, step: int) -> list[Path]:
        """Keep the running sums of VoG, and beside them those of processes that are gone; returns the folders."""
        if self.moments is None:
            return []
        sums = {self.folder: self.moments.arrays(), **self.gone}
        for folder, arrays in sums.items():
            store.write_sums(folder, step, arrays)
        return list(sums)

    def on_train_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if self.over:
            return
        self.over = True
        self.flush()
        self.keep_sums(0)
        self.tap.trainer.accelerator.wait_for_everyone()
        if args.process_index == 0:
            self.done()
        self.tap.trainer.accelerator.wait_for_everyone()
