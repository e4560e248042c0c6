"""The recorder: keeps the records of an epoch in memory, and writes them to files.

What cannot be recorded is refused before any weight has changed. After that nothing in here ends the training: a failure is
warned of once, and what was recorded is kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor
from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments

from thresher.errors import UserError
from thresher.progress import say, warn
from thresher.recording import store
from thresher.recording.buffer import RecordBuffer
from thresher.recording.gradients import (
    classifier_sq_norm,
    gives_logits,
    gradient_at_logits,
    is_cross_entropy,
)
from thresher.recording.loss_check import refuse_other_labels
from thresher.recording.model_hooks import hook_classifier
from thresher.recording.row_signals import row_signals, token_signals
from thresher.recording.run_folders import RunFolders
from thresher.recording.step import Step
from thresher.recording.supported import embeddings_reason, refuse_step
from thresher.recording.trainer_hooks import ATTRIBUTE, Observer, hooks_of, pads_right
from thresher.recording.vog import OnlineVog
from thresher.run.layout import Layout
from thresher.wording import shown

# The loss is checked in steps 1, 2, 4, ... up to here: before anything is learned, a focal loss looks like the cross-entropy.
STEPS_CHECKED = 64
LATER = "after the training th.finish_recording(trainer) makes a run of it"


@dataclass(eq=False)
class Recorder(TrainerCallback):
    """Records the trainings of a trainer, each into a run folder of its own, in place of an earlier recorder of the same trainer.

    `vog_width`: numbers per row in the sketch of online VoG; 0 leaves VoG out. `seed`: of the sketch. `strict`: VoG that cannot
    be known is refused; otherwise it is left out, which is said once.
    """

    trainer: Trainer
    folders: RunFolders
    vog_width: int
    seed: int
    strict: bool = False

    def __post_init__(self) -> None:
        self.training, self.run, self.ended, self.pending = 1, self.folders.first, False, False
        self.vog = OnlineVog(self.vog_width, self.seed)
        hooks_of(self.trainer).attach("recorder", self.observer())

    def observer(self) -> Observer:
        model_hooks = (hook_classifier, self.vog.hook) if self.vog_width else (hook_classifier,)
        return Observer(self.on_step, self, model_hooks)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Start empty, or with what was recorded before the step that the training resumes at."""
        if self.ended:
            self.next_folder()
        self.folder = Layout(self.run).recording
        self.buffer = RecordBuffer(self.vog.add)
        self.vog.start(len(self.trainer.train_dataset))
        self.epoch, self.steps, self.checked, self.cross_entropy = 0, 0, False, True
        self.failed, self.unwritten = False, False
        self.warned: set[str] = set()
        self.first_step = state.global_step
        self.own_folder = store.rank_folder(self.folder, args.process_index)
        if state.global_step:
            self.resume(state.global_step, args)
        elif args.process_index == 0:
            # Files of an earlier attempt, of more processes perhaps; none of them writes before they are removed.
            store.remove(self.folder)
        self.pending = not self.failed
        self.trainer.accelerator.wait_for_everyone()

    def next_folder(self) -> None:
        """The folder of a further training, the same in all processes."""
        self.training, self.run = broadcast_object_list([*self.folders.of(self.training + 1)])
        self.ended = False
        if self.trainer.args.process_index == 0:
            say(f"watch: another training of the same Trainer; it is recorded in {self.run}")

    def resume(self, step: int, args: TrainingArguments) -> None:
        """Keep what was recorded before a step; the first process also does so for processes that are no longer there."""
        folders = store.rank_folders(self.folder) if args.process_index == 0 else []
        left = [folder for folder in folders if store.rank_of(folder) >= args.world_size]
        try:
            for folder in (self.own_folder, *left):
                store.rewind(folder, step)
        except UserError as error:
            if self.training == 1:
                raise
            # A further training goes on from a step that the run of the first one holds: it was never asked to be recorded.
            self.failed = True
            warn(f"watch: this training is not recorded: {error}")
        try:
            self.vog.resume(self.own_folder, left, step)
        except FileNotFoundError:
            self.leave_out_vog(
                f"{self.folder}: the training resumes at step {step}, and the running sums of VoG were not saved at that step;"
                " resume from the last checkpoint"
            )

    def on_epoch_begin(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        self.epoch = math.floor((state.epoch or 0) + 1e-6)

    def at_first_step(self) -> bool:
        """Whether no weight has changed since the training began."""
        return bool(self.trainer.state.global_step == self.first_step)

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Warn of a failure once, with `what` it means; a refusal before any weight has changed ends the training."""
        try:
            yield
        except Exception as error:
            if isinstance(error, UserError) and what == "step" and self.at_first_step():
                raise
            said = {
                "step": "recording failed, and the training continues without it: {}; what was recorded until then is kept",
                "write": "what is recorded cannot be written: {}; the training continues, it is kept in memory and tried again",
                "finish": "the run cannot be written: {}; what was recorded is kept",
            }[what]
            self.failed |= what == "step"
            self.unwritten |= what == "write"
            if not self.warned & {"step", "write", "finish"}:
                warn(f"watch: {said.format(shown(error, 300))}; {LATER}")
            self.warned.add(what)

    def on_step(self, step: Step) -> None:
        if not self.failed:
            with self.guarded("step"):
                self.record(step)

    def record(self, step: Step) -> None:
        signals = self.signals(step)
        state, groups, count = self.trainer.state, self.trainer.optimizer.param_groups, len(step.rows)
        columns = {
            "row": step.rows,
            "step": torch.full((count,), state.global_step, dtype=torch.int32),
            "epoch": torch.full((count,), self.epoch, dtype=torch.int32),
            "age": torch.full((count,), state.epoch or 0.0),
            "encoder_lr": torch.full((count,), float(groups[0]["lr"])),
            "head_lr": torch.full((count,), float(groups[-1]["lr"])),
        }
        self.buffer.add(columns | signals)

    def to_check(self) -> bool:
        """Count a step, and tell whether its loss is to be checked."""
        self.steps += 1
        return not self.checked or (self.steps.bit_count() == 1 and self.steps <= STEPS_CHECKED)

    def signals(self, step: Step) -> dict[str, Tensor]:
        refuse_step(step, type(self.trainer.model).__name__)
        step.ignore_others_than(step.logits.shape[-1])
        if self.to_check():
            self.check_loss(step)
        if self.vog.sums is not None and (reason := embeddings_reason(step, self.trainer)):
            self.leave_out_vog(reason)
        columns = token_signals(step) if step.labels.dim() == 2 else row_signals(step)
        if step.mask is not None and step.mask.dim() == 2:
            columns["n_tokens"] = step.mask.sum(1)
        if self.cross_entropy and gives_logits(step):
            columns["classifier_sq_norm"] = classifier_sq_norm(step)
        return columns | self.vog.columns(step, pads_right(self.trainer))

    def check_loss(self, step: Step) -> None:
        """Refuse a loss of other labels; of one that is not the mean cross-entropy, refuse VoG or leave it out, and the norms."""
        gradient, trainer = gradient_at_logits(step), self.trainer
        if not step.logits.isfinite().all() or (gradient is not None and not gradient.isfinite().all()):
            # An overflow of float16, or a training that diverges: nothing can be told from this step.
            return
        if not self.checked:
            refuse_other_labels(step, trainer)
            if not gives_logits(step):
                say(
                    "watch: no one linear layer is known to give the logits; GraNd and TracIn of it are left out"
                )
        self.checked = True
        if not self.cross_entropy or (trainer.args.label_smoothing_factor == 0 and is_cross_entropy(step)):
            return
        self.leave_out_vog(
            f"the loss of {type(trainer.model).__name__} is not the mean cross-entropy of its logits (class weights? another"
            " loss?), so a row's own gradient is not known",
            "gradient norms are left out" if self.vog.sums is None else "VoG and gradient norms are left out",
        )
        self.cross_entropy = False
        self.buffer.drop("classifier_sq_norm")

    def leave_out_vog(self, reason: str, so: str = "VoG is left out") -> None:
        """Go on without VoG, which is said; where VoG was asked for, refuse that before any weight has changed."""
        if self.vog.sums is not None and self.strict and self.at_first_step():
            raise UserError(f"{reason}; watch with vog=False")
        if not self.failed:
            (warn if self.strict else say)(f"watch: {reason}; {so}")
        self.vog.leave_out()
        self.buffer.drop("squares", "sketch")

    def write_records(self) -> None:
        self.buffer.copy()
        if self.buffer.not_finite and "diverged" not in self.warned:
            self.warned.add("diverged")
            warn(
                f"watch: the logits of {self.buffer.not_finite:,} rows so far are not finite, as those of a training that"
                " diverges; these records are left out"
            )
        first = self.trainer.args.process_index == 0
        self.buffer.write(self.own_folder, partial(self.folders.make_room, self.run) if first else None)

    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        if not self.failed:
            with self.guarded("write"):
                self.write_records()

    def on_save(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Write what a resume from this checkpoint needs, and remove what only removed checkpoints needed."""
        if self.failed:
            return
        with self.guarded("write"):
            self.write_records()
            names = [
                path.name.removeprefix("checkpoint-") for path in Path(args.output_dir).glob("checkpoint-*")
            ]
            steps = [int(number) for number in names if number.isdigit()]
            for folder in self.vog.write(self.own_folder, state.global_step):
                store.remove_sums(folder, but=[*steps, state.global_step])

    def on_train_end(self, args: TrainingArguments, state: TrainerState, *_: object, **__: object) -> None:
        """Write the rest, and let the first process make the run if nothing failed in any."""
        self.ended = True
        if self.pending:
            self.unwritten = False
            with self.guarded("write"):
                self.write_rest()
        if not any(gather_object([self.failed or self.unwritten])) and args.process_index == 0:
            with self.guarded("finish"):
                self.finish()
        (self.pending,) = broadcast_object_list([self.pending])

    def write_rest(self) -> None:
        self.write_records()
        self.vog.write(self.own_folder, 0)

    def finish(self) -> None:
        self.folders.finish(self.run)
        self.pending = False


def recorder_of(trainer: Trainer) -> Recorder | None:
    """The recorder of a trainer; None for one that is not watched."""
    hooks = vars(trainer).get(ATTRIBUTE)
    observer = None if hooks is None else hooks.observers.get("recorder")
    return observer.callback if observer is not None else None
