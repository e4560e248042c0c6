"""The recorder of any training loop: it is told what a step gave, and keeps it as the recorder of a Trainer does."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import polars as pl
import torch
import torch.distributed as dist
from torch import Tensor

from thresher.errors import UserError
from thresher.progress import warn
from thresher.recording import store
from thresher.recording.buffer import RecordBuffer
from thresher.recording.row_signals import row_signals, token_signals
from thresher.recording.step import Step
from thresher.recording.supported import refuse_step
from thresher.run.layout import Layout
from thresher.wording import shown

Values = Tensor | np.ndarray | Sequence[int] | Sequence[str]
# Row numbers are kept in 32 bits.
LARGEST = 2**31 - 1


class LoopRecorder:
    """Records what `note` is told, and makes a run of it in `finish`, or at the end of a `with` block.

    `ids` are those of all rows of the dataset, in order; without them a row is named by what it is noted as. `make_room` is
    called before the first records are written, `make_run` after the training, both by the first process alone.
    """

    def __init__(
        self,
        run: Path,
        ids: Sequence[object] | None,
        make_room: Callable[[], None],
        make_run: Callable[[LoopRecorder], None],
    ) -> None:
        self.run, self.make_room, self.make_run = run, make_room, make_run
        self.number: dict[str, int] = {}
        self.whole = ids is not None
        for one in ids or ():
            self.number.setdefault(str(one), len(self.number))
        if ids is not None and len(self.number) < len(ids):
            raise UserError(
                f"{len(ids) - len(self.number):,} of {len(ids):,} ids occur more than once; give each row its own"
            )
        together = dist.is_available() and dist.is_initialized()
        self.rank, self.processes = (dist.get_rank(), dist.get_world_size()) if together else (0, 1)
        self.folder = Layout(run).recording
        self.buffer = RecordBuffer(lambda columns: None)
        self.epoch, self.steps, self.batch_size = 0, 0, 0
        self.kind = (0, 0)  # dimensions of the labels, number of classes
        self.failed, self.finished, self.warned = False, False, False
        if self.rank == 0:
            if store.rank_folders(self.folder):
                warn(
                    f"record: {run} holds a recording that was not finished; it is removed, and this one begins at its first step"
                )
            store.remove(self.folder)
        self.wait()

    def note(self, rows: Values, logits: Tensor | np.ndarray, labels: Values, epoch: float) -> None:
        """Record one training step.

        Parameters
        ----------
        rows
            (B,), the rows of the batch: their ids or, where th.record was given none, their numbers in the dataset.
        logits
            (B, K), or (B, T, K) with a label per token; what the model gave in this step.
        labels
            (B,) or (B, T), class numbers; rows and tokens with a label below 0 are not scored.
        epoch
            the epoch, counted from 0; a fraction says where in it the step is.

        Raises UserError: in the first step: shapes that do not fit, or unknown rows. Later steps end no training: a failure is
        warned of once.
        """
        if self.finished:
            raise UserError(
                f"{self.run}: this recording is finished; record another training in another folder"
            )
        if self.failed:
            return
        try:
            self.add(rows, logits, labels, epoch)
        except Exception as error:
            if self.steps == 0:
                raise
            self.failed = True
            warn(
                f"record: recording failed at step {self.steps}: {shown(error, 300)}; {self.run} will hold what was noted until"
                " then"
            )

    def add(self, rows: Values, logits: Tensor | np.ndarray, labels: Values, epoch: float) -> None:
        number = math.floor(epoch)
        if number != self.epoch:
            self.write_if_possible()
            self.epoch = number
        given = torch.as_tensor(logits).detach()
        target = torch.as_tensor(labels).to(given.device)
        step = Step(self.numbers(rows).to(given.device), {}, target, {"logits": given})
        refuse_step(step, "the loop")
        self.check(step)
        count = len(step.rows)
        # A whole number says nothing of where in the epoch the step is.
        age = number + 0.5 if isinstance(epoch, int | np.integer) else float(epoch)
        columns = {
            "row": step.rows,
            "step": torch.full((count,), self.steps, dtype=torch.int32),
            "epoch": torch.full((count,), number, dtype=torch.int32),
            "age": torch.full((count,), age),
            "encoder_lr": torch.zeros(count),
            "head_lr": torch.zeros(count),
        }
        self.buffer.add(columns | (token_signals(step) if step.labels.dim() == 2 else row_signals(step)))
        self.batch_size = max(self.batch_size, count)
        self.steps += 1

    def check(self, step: Step) -> None:
        """Refuse labels without a logit, and a step of another kind than the first."""
        classes = step.logits.shape[-1]
        # Looking into every batch would slow a GPU down; a loss refuses such labels itself.
        if (self.steps == 0 or not step.labels.is_cuda) and step.labels.max() >= classes:
            raise UserError(f"label {int(step.labels.max())} for logits of {classes} classes")
        if self.steps == 0:
            self.kind = (step.labels.dim(), classes)
        if self.kind != (step.labels.dim(), classes):
            raise UserError(
                f"logits {tuple(step.logits.shape)}, and those of the first step had {self.kind[1]} classes"
            )

    def numbers(self, rows: Values) -> Tensor:
        """The numbers of rows by their ids, (B,)."""
        given = rows.tolist() if isinstance(rows, Tensor | np.ndarray) else list(rows)
        whole = all(isinstance(one, int) for one in given)
        if not self.whole and whole:
            if given and not 0 <= min(given) <= max(given) <= LARGEST:
                raise UserError(
                    f"rows are numbers from 0 to {LARGEST:,}; give the ids of all rows to th.record(out, ids=...)"
                )
            return torch.tensor(given, dtype=torch.int64)
        names = [str(one) for one in given]
        if not self.whole and self.processes > 1:
            raise UserError(
                "in several processes the ids of all rows must be known; give them to th.record(out, ids=...)"
            )
        for name in names:
            if self.whole and name not in self.number:
                raise UserError(
                    f"row '{shown(name)}' is not one of the {len(self.number):,} ids that th.record was given"
                )
            self.number.setdefault(name, len(self.number))
        return torch.tensor([self.number[name] for name in names], dtype=torch.int64)

    def ids(self, count: int) -> pl.Series:
        """The ids of all rows, of which `count` numbers at least were noted."""
        return pl.Series("id", list(self.number) or [str(number) for number in range(count)], dtype=pl.String)

    def write(self) -> None:
        folder = store.rank_folder(self.folder, self.rank)
        self.buffer.write(folder, self.make_room if self.rank == 0 else None)

    def write_if_possible(self) -> None:
        """Write, and warn once where that fails: the records are tried again at the next epoch and at the end."""
        try:
            self.write()
        except OSError as error:
            if not self.warned:
                warn(
                    f"record: {self.run} cannot be written now, and is kept in memory and tried again: {shown(error, 300)}"
                )
            self.warned = True

    def wait(self) -> None:
        if self.processes > 1:
            dist.barrier()

    def finish(self) -> Path:
        """Write what is left, and make the run; called by every process. Returns the folder.

        Raises UserError: nothing was noted.
        Raises OSError: the folder cannot be written; call it again when it can be.
        """
        if not self.finished:
            self.write()
            self.wait()
            if self.rank == 0:
                self.make_run(self)
            self.wait()
            self.finished = True
        return self.run

    def __enter__(self) -> LoopRecorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if kind is None:
            self.finish()
        else:
            self.write_if_possible()
