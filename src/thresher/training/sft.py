"""Supervised fine-tuning of a causal language model with Hugging Face `Trainer`: the loss is that of the completion tokens."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.optim import Optimizer
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from thresher.config import GenerateConfig, TrainConfig
from thresher.models.completions import Completions
from thresher.models.language_model import trained_weights
from thresher.recording.completion_recorder import CompletionRecorder
from thresher.recording.run_folders import RunFolders
from thresher.run.integrity import folder_problem
from thresher.training.checkpoints import save_weights
from thresher.training.order import LengthGroupedOrder
from thresher.training.recipe import steps_of, trains_in_bf16
from thresher.training.record import Progress, progress_file
from thresher.training.resume import Recorded, mark_complete, recorded_at, resume_point
from thresher.training.saved_steps import checkpoint_steps
from thresher.training.trainers import OrderedTrainer, RowNumbers, trainer_arguments, training_into

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Logits that a training step holds at a time: 1 GB in float32, of which the loss makes some copies.
LOGITS = 2**28
# Rows of at most so many tokens train faster with plain attention than with torch's fused kernel, in bfloat16 on a CPU.
SHORT = 256


class _Checkpoints(TrainerCallback):
    """Saves the weights that train at their steps, and Trainer's own state to resume from."""

    def __init__(self, place: Callable[[int], Path], steps: list[int]) -> None:
        self.place, self.steps = place, frozenset(steps)
        self.recorded: Recorded = {"checkpoints": [], "evaluations": []}
        self.rate = 0.0

    def usable(self, recorded: Recorded) -> bool:
        """Whether every checkpoint that was recorded is still there and undamaged."""
        return not any(
            folder_problem(self.place(step), "checkpoint.json") for step in recorded["checkpoints"]
        )

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
        self.rate = float(optimizer.param_groups[0]["lr"])

    def on_step_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: PreTrainedModel,
        **given: object,
    ) -> None:
        step = state.global_step
        if step in self.steps:
            facts = {"step": step, "epoch": state.epoch or 0.0, "encoder_lr": self.rate, "head_lr": self.rate}
            save_weights(self.place(step), trained_weights(model), facts)
            self.recorded["checkpoints"].append(step)
            control.should_save = step < state.max_steps

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: object
    ) -> None:
        mark_complete(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self.recorded)


def fit_completions(
    model: PreTrainedModel,
    tokens: Completions,
    config: TrainConfig,
    generate: GenerateConfig,
    seed: int,
    folder: Path,
    record: tuple[Path, Callable[[int], Path]] | None = None,
) -> int:
    """Fine-tune `model` in place on the completion tokens, those weights that require gradients; returns the number of steps.

        loss = sum of -log p(token | tokens before) over the completion tokens of a batch / their number

    With `record`, a run folder and the place of each checkpoint, what every row gives in the training is recorded there
    (`thresher.recording`), weights are saved, and a killed training resumes from its last checkpoint.

    Raises UserError: the disk is full or cannot be written.
    """
    total = steps_of(config, len(tokens))
    folder.mkdir(parents=True, exist_ok=True)
    on_cpu = not torch.accelerator.is_available()
    if on_cpu and trains_in_bf16(config) and tokens.lengths.max() <= SHORT:
        model.set_attn_implementation("eager")
    weights = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=generate.lr, weight_decay=config.weight_decay)
    callbacks: list[TrainerCallback] = [Progress(progress_file(folder))]
    point: str | None = None
    if record:
        saves = _Checkpoints(record[1], checkpoint_steps(config, total))
        callbacks.append(saves)
        point = resume_point(folder, saves.usable)
        if point:
            saves.recorded = recorded_at(Path(point))
    rows = rows_at_a_time(model, tokens, config.batch_size)
    with training_into(folder):
        trainer = OrderedTrainer(
            model,
            trainer_arguments(config, total, seed, folder, rows, config.batch_size // rows),
            order=LengthGroupedOrder(tokens.lengths, config.batch_size, seed),
            train_dataset=RowNumbers(len(tokens)),
            data_collator=tokens.batch,
            optimizers=(optimizer, None),
            callbacks=callbacks,
        )
        trainer.remove_callback(PrinterCallback)
        if record:
            # What is recorded becomes signals in the measuring step, so there is nothing to finish here.
            folders = RunFolders(record[0], lambda _: False, lambda _: None, lambda _: None)
            CompletionRecorder(trainer, folders, 0, seed)
        trainer.train(resume_from_checkpoint=point)
        trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    return int(trainer.state.global_step)


def rows_at_a_time(model: PreTrainedModel, tokens: Completions, batch_size: int) -> int:
    """Rows of a batch that go through the model together, so that the logits of a vocabulary fit: a divisor of the batch size."""
    vocabulary = model.get_input_embeddings().weight.shape[0]
    fit = max(1, LOGITS // (int(tokens.lengths.max()) * vocabulary))
    return max(rows for rows in range(1, batch_size + 1) if batch_size % rows == 0 and rows <= fit)
