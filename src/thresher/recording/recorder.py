"""The recorder: keeps the records of an epoch in memory, writes them to files, and forms the running sums of online VoG.

What cannot be recorded is refused before any weight has changed. After that nothing in here ends the training: a failure is
warned of once, and ends the recording.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import gather_object
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from thresher.errors import UserError
from thresher.progress import warn
from thresher.recording import store
from thresher.recording.buffer import RecordBuffer
from thresher.recording.gradient_sums import GradientSums
from thresher.recording.gradients import classifier_sq_norm, is_cross_entropy, loss_scale
from thresher.recording.model_hooks import hook_classifier, hook_embeddings
from thresher.recording.row_signals import row_signals, token_signals
from thresher.recording.sketch import Signs, sketch
from thresher.recording.step import Step
from thresher.recording.supported import refuse_step
from thresher.recording.trainer_hooks import Observer, hooks_of
from thresher.wording import shown

# The loss is checked in steps 1, 2, 4, ... up to here: before anything is learned, a focal loss looks like the cross-entropy.
STEPS_CHECKED = 64


@dataclass(eq=False)
class Recorder(TrainerCallback):
    """Records the next training of a trainer into `folder`, in place of an earlier recorder of the same trainer.

    Parameters
    ----------
    vog_width
        numbers per row in the sketch of online VoG; 0 leaves VoG out.
    seed
        of the sketch.
    make_room, finish
        called by the first process before it writes the first records, and after the training.
    """

    trainer: Trainer
    folder: Path
    vog_width: int
    seed: int
    make_room: Callable[[], None]
    finish: Callable[[], None]

    def __post_init__(self) -> None:
        model_hooks = (hook_classifier, hook_embeddings) if self.vog_width else (hook_classifier,)
        hooks_of(self.trainer).attach("recorder", Observer(self.on_step, self, model_hooks))

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Start empty, or with what was recorded before the step that the training resumes at."""
        self.buffer = RecordBuffer(self.add_to_sums)
        rows = len(self.trainer.train_dataset)
        self.sums = GradientSums(rows, self.vog_width) if self.vog_width else None
        self.sums_of_left: dict[Path, dict[str, np.ndarray]] = {}
        self.signs: Signs | None = None
        self.epoch, self.steps, self.cross_entropy, self.failed = 0, 0, True, False
        self.first_step = state.global_step
        self.own_folder = store.rank_folder(self.folder, args.process_index)
        if state.global_step:
            self.resume(state.global_step, args)
        elif args.process_index == 0:
            # Files of an earlier attempt, of more processes perhaps; none of them writes before they are removed.
            store.remove(self.folder)
        self.trainer.accelerator.wait_for_everyone()

    def resume(self, step: int, args: TrainingArguments) -> None:
        """Keep what was recorded before a step; the first process also does so for processes that are no longer there."""
        folders = store.rank_folders(self.folder) if args.process_index == 0 else []
        left = [folder for folder in folders if store.rank_of(folder) >= args.world_size]
        for folder in (self.own_folder, *left):
            store.rewind(folder, step)
        if self.sums is None:
            return
        try:
            self.sums.merge(store.read_sums(store.sums_file(self.own_folder, step)))
            self.sums_of_left = {folder: store.read_sums(store.sums_file(folder, step)) for folder in left}
        except FileNotFoundError as error:
            raise UserError(
                f"{self.folder}: the training resumes at step {step}, and the running sums of VoG were not saved at that step;"
                " resume from the last checkpoint, or watch with vog=False"
            ) from error

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Note the number of the epoch."""
        self.epoch = math.floor((state.epoch or 0) + 1e-6)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Warn of a failure once and end the recording; a refusal before any weight has changed ends the training."""
        try:
            yield
        except Exception as error:
            if isinstance(error, UserError) and self.trainer.state.global_step == self.first_step:
                raise
            self.failed = True
            warn(
                f"watch: recording failed, and the training continues without it: {shown(error, 300)}; what was recorded until"
                f" then is kept in {self.folder}"
            )

    def on_step(self, step: Step) -> None:
        """Record the rows of one step."""
        if not self.failed:
            with self.guarded():
                self.record(step)

    def record(self, step: Step) -> None:
        """Add the records of one step to the buffer."""
        refuse_step(step, self.trainer, vog=self.sums is not None)
        self.steps += 1
        if self.steps.bit_count() == 1 and self.steps <= STEPS_CHECKED:
            self.check_loss(step)
        state, groups, count = self.trainer.state, self.trainer.optimizer.param_groups, len(step.rows)
        columns = {
            "row": step.rows,
            "step": torch.full((count,), state.global_step, dtype=torch.int32),
            "epoch": torch.full((count,), self.epoch, dtype=torch.int32),
            "age": torch.full((count,), state.epoch or 0.0),
            "encoder_lr": torch.full((count,), float(groups[0]["lr"])),
            "head_lr": torch.full((count,), float(groups[-1]["lr"])),
        }
        columns |= token_signals(step) if step.labels.dim() == 2 else row_signals(step)
        if step.mask is not None and step.mask.dim() == 2:
            columns["n_tokens"] = step.mask.sum(1)
        if self.cross_entropy:
            columns["classifier_sq_norm"] = classifier_sq_norm(step)
        if self.sums is not None:
            columns |= self.gradient(step)
        self.buffer.add(columns)

    def check_loss(self, step: Step) -> None:
        """If the gradient at the output is not that of the mean cross-entropy, refuse VoG and leave gradient norms out."""
        gradient, trainer = step.classifier.gradient, self.trainer
        if (
            gradient is not None
            and gradient.shape[-1] == step.logits.shape[-1]
            and trainer.args.label_smoothing_factor == 0
            and is_cross_entropy(step)
        ):
            return
        reason = (
            f"the loss of {type(trainer.model).__name__} is not the mean cross-entropy of what its last linear layer gives"
            " (class weights? another loss?), so a row's own gradient is not known"
        )
        if self.sums is not None and trainer.state.global_step == self.first_step:
            raise UserError(f"{reason}; watch with vog=False")
        if self.sums is not None:
            warn(f"watch: {reason}; VoG and gradient norms are left out")
        self.sums, self.cross_entropy = None, False
        self.buffer.drop("classifier_sq_norm", "squares", "sketch")

    def gradient(self, step: Step) -> dict[str, Tensor]:
        """Squared norm (B,) and sketch (B, width) of each row's gradient at the embeddings."""
        assert step.embeddings.gradient is not None
        gradient, scale = step.embeddings.gradient.float(), loss_scale(step)  # (B, T, H), (B,)
        if self.signs is None:
            self.signs = Signs(gradient.shape[2], self.seed)
        signs = self.signs.up_to(gradient.shape[1], gradient.device)
        first = None if step.mask is None or pads_right(self.trainer) else step.mask.argmax(1)
        return {
            "squares": (torch.linalg.vector_norm(gradient, dim=(1, 2)) / scale).square(),
            "sketch": sketch(gradient, signs, self.vog_width, first) / scale[:, None],
        }

    def add_to_sums(self, columns: dict[str, Tensor]) -> None:
        """Move the columns that only VoG needs into its running sums."""
        if self.sums is not None:
            self.sums.add(columns["row"], columns.pop("squares"), columns.pop("sketch"))

    def write_records(self) -> None:
        """Move the records from memory to a file."""
        columns = self.buffer.take()
        if columns and len(columns["row"]):
            if self.trainer.args.process_index == 0:
                self.make_room()
            store.write_records(self.own_folder, columns)

    def write_sums(self, step: int) -> list[Path]:
        """Write the running sums, and beside them those of processes that are no longer there; returns the folders."""
        if self.sums is None:
            return []
        sums = {self.own_folder: self.sums.arrays(), **self.sums_of_left}
        for folder, arrays in sums.items():
            store.write_sums(store.sums_file(folder, step), arrays)
        return list(sums)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Write the records of the epoch."""
        if not self.failed:
            with self.guarded():
                self.write_records()

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Write what a resume from this checkpoint needs, and remove what only removed checkpoints needed."""
        if self.failed:
            return
        with self.guarded():
            self.write_records()
            names = [
                path.name.removeprefix("checkpoint-") for path in Path(args.output_dir).glob("checkpoint-*")
            ]
            steps = [int(number) for number in names if number.isdigit()]
            for folder in self.write_sums(state.global_step):
                store.remove_sums(folder, but=[*steps, state.global_step])

    def on_train_end(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Write the rest, and let the first process finish the run folder if recording failed in none."""
        if not self.failed:
            with self.guarded():
                self.write_records()
                self.write_sums(0)
        if not any(gather_object([self.failed])) and args.process_index == 0:
            with self.guarded():
                self.finish()
        self.trainer.accelerator.wait_for_everyone()


def pads_right(trainer: Trainer) -> bool:
    """Whether padding is known to be at the end of rows."""
    tokenizer = trainer.processing_class or getattr(trainer.data_collator, "tokenizer", None)
    return getattr(tokenizer, "padding_side", "unknown") == "right"
