"""The files of a training while it runs: checkpoints, whole-set evaluations, states to resume from, its progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from torch import nn
from torch.optim import Optimizer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from thresher.execution.torchrun import gather, rank, world
from thresher.models.tokens import Tokens
from thresher.run.integrity import folder_problem, table_problem, write_table
from thresher.training.checkpoints import save_weights
from thresher.training.predict import predict_logits
from thresher.training.resume import Recorded, mark_complete
from thresher.training.shared import interleaved
from thresher.training.vocabulary import Weights


@dataclass(frozen=True)
class Record:
    """Where a training writes checkpoints and whole-set evaluations, and the row ids."""

    checkpoints: Path
    evaluations: Path | None
    ids: pl.Series

    def checkpoint(self, step: int) -> Path:
        """The folder of one checkpoint."""
        return self.checkpoints / f"step-{step:08d}"

    def evaluation(self, step: int) -> Path:
        """The file of one whole-set evaluation."""
        assert self.evaluations is not None
        return self.evaluations / f"step-{step:08d}.parquet"


class CheckpointCallback(TrainerCallback):
    """Saves weights, learning rates and whole-set evaluations at their steps, and Trainer's own state for a resume.

    Of several processes each evaluates its share of the rows, and the first one writes. `full` restores the
    full vocabulary in the weights to save.
    """

    def __init__(
        self,
        record: Record,
        tokens: Tokens,
        labels: np.ndarray,
        saves: list[int],
        evaluates: list[int],
        full: Callable[[Weights], Weights],
    ) -> None:
        self.record, self.tokens, self.labels, self.full = record, tokens, labels, full
        self.saves, self.evaluates = frozenset(saves), frozenset(evaluates)
        self.recorded: Recorded = {"checkpoints": [], "evaluations": []}
        self.rates = (0.0, 0.0)
        # On a diet a step stands for more than one of a training on all rows.
        self.clock: Callable[[TrainerState], int] = lambda state: state.global_step
        self.last = 0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: object
    ) -> None:
        self.last = self.clock(state)

    def due(self, steps: frozenset[int], now: int) -> int | None:
        """The last of some steps that this one reaches."""
        return max((step for step in steps if self.last < step <= now), default=None)

    def usable(self, recorded: Recorded) -> bool:
        """Whether every checkpoint and evaluation that was recorded is still there and undamaged."""
        checkpoints = [self.record.checkpoint(step) for step in recorded["checkpoints"]]
        evaluations = [self.record.evaluation(step) for step in recorded["evaluations"]]
        problems = [folder_problem(path, "checkpoint.json") for path in checkpoints]
        return not any([*problems, *map(table_problem, evaluations)])

    def correct(self, model: nn.Module) -> np.ndarray:
        """For every row whether it is predicted right, (N,)."""
        mine = np.arange(rank(), len(self.tokens), world())
        share = self.tokens.take(mine) if world() > 1 else self.tokens
        return interleaved(gather(predict_logits(model, share).argmax(1) == self.labels[mine]))

    def on_pre_optimizer_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        optimizer: Optimizer,
        **given: object,
    ) -> None:
        # Read before the scheduler moves on: TracIn weighs a checkpoint by the learning rate of the step itself.
        groups = optimizer.param_groups
        self.rates = (float(groups[0]["lr"]), float(groups[1]["lr"]))

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: nn.Module,
        **given: object,
    ) -> None:
        now = self.clock(state)
        step = self.due(self.evaluates, now)
        if step is not None:
            table = pl.DataFrame({"id": self.record.ids, "correct": self.correct(model)})
            if rank() == 0:
                write_table(self.record.evaluation(step), table)
            self.recorded["evaluations"].append(step)
        step = self.due(self.saves, now)
        if step is not None:
            facts = {
                "step": step,
                "epoch": state.epoch,
                "encoder_lr": self.rates[0],
                "head_lr": self.rates[1],
            }
            if rank() == 0:
                save_weights(self.record.checkpoint(step), self.full(model.state_dict()), facts)
            self.recorded["checkpoints"].append(step)
            control.should_save = step < state.max_steps

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: object
    ) -> None:
        gather("saved")  # every process writes its own random state
        if rank() == 0:
            mark_complete(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self.recorded)


class Progress(TrainerCallback):
    """Writes the step number to a file once a second, for a progress bar in another process."""

    def __init__(self, file: Path) -> None:
        self.file, self.told = file, 0.0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: object
    ) -> None:
        if time.monotonic() - self.told > 1:
            self.told = time.monotonic()
            self.file.write_text(str(state.global_step))


def progress_file(folder: Path) -> Path:
    """The progress file of a training in `folder`."""
    return folder / "progress"
