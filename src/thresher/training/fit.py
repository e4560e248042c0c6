"""One fine-tuning with Hugging Face `Trainer`: two learning rates, checkpoints, whole-set evaluations, resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import Trainer, TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_callback import PrinterCallback

from thresher.config import TrainConfig
from thresher.files import as_json, failed_to_write, unwritable, write
from thresher.model.classifier import Classifier
from thresher.model.frozen import Features
from thresher.model.tokens import Tokens, length_sorted_batches, pad_batch
from thresher.quiet import quiet_transformers
from thresher.sealed import fault, write_table
from thresher.training.checkpoints import checkpoint_steps, evaluation_steps, save_checkpoint
from thresher.training.diet.run import put_on_diet
from thresher.training.order import LengthGroupedOrder
from thresher.training.processes import agreed, from_the_first, gather, rank, world
from thresher.training.recipe import steps_of, trains_in_bf16
from thresher.training.resume import Recorded, mark_whole, recorded_at, resume_point, step_of
from thresher.training.shared import SharedBatches, interleaved, shared_loader, shared_loss
from thresher.training.sound import folder_fault

EVALUATION_TOKENS = 4096


@dataclass(frozen=True)
class Record:
    """What a training leaves behind beside its weights: where checkpoints and whole-set evaluations go, and row ids."""

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


class _TokenRows(Dataset[Any]):
    """Rows by their number; a batch is made when its rows are known."""

    def __init__(self, tokens: Tokens, labels: np.ndarray) -> None:
        self.tokens, self.labels = tokens, labels

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, place: Any) -> Any:
        return place

    def collate(self, rows: list[int]) -> dict[str, Tensor]:
        return {**pad_batch(self.tokens, rows), "labels": torch.from_numpy(self.labels[rows])}


class _OrderedTrainer(Trainer):
    """Trainer with an order that depends on the seed and the epoch alone."""

    def __init__(self, *args: Any, order: LengthGroupedOrder, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order = order

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedOrder:
        return self.order


class _SharedTrainer(Trainer):
    """Trainer of one process among several, which has its share of every batch."""

    def __init__(self, *args: Any, order: LengthGroupedOrder, epoch: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches = SharedBatches(order, rank(), world(), epoch)

    def get_train_dataloader(self) -> Any:
        return shared_loader(self.train_dataset, self.batches)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = shared_loss(model, inputs)
        return (loss, outputs) if return_outputs else loss


class _Recorder(TrainerCallback):
    """Saves weights, learning rates and whole-set evaluations at their steps, and Trainer's own state for a resume.

    Of several processes each evaluates its share of the rows, and the first one writes.
    """

    def __init__(
        self, record: Record, tokens: Tokens, labels: np.ndarray, saves: list[int], evaluates: list[int]
    ) -> None:
        self.record, self.tokens, self.labels = record, tokens, labels
        self.saves, self.evaluates = frozenset(saves), frozenset(evaluates)
        self.recorded: Recorded = {"checkpoints": [], "evaluations": []}
        self.rates = (0.0, 0.0)
        # On a diet a step stands for more than one of a training on all rows.
        self.clock: Callable[[TrainerState], int] = lambda state: state.global_step
        self.last = 0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        self.last = self.clock(state)

    def due(self, steps: frozenset[int], now: int) -> int | None:
        """The last of some steps that this one reaches."""
        return max((step for step in steps if self.last < step <= now), default=None)

    def sound(self, recorded: Recorded) -> bool:
        """Whether what was recorded is still there and sound."""
        checkpoints = [self.record.checkpoint(step) for step in recorded["checkpoints"]]
        evaluations = [self.record.evaluation(step) for step in recorded["evaluations"]]
        faults = [folder_fault(path, "checkpoint.json") for path in checkpoints] + list(
            map(fault, evaluations)
        )
        return not any(faults)

    def correct(self, model: nn.Module) -> np.ndarray:
        """For every row whether it is predicted right, (N,)."""
        mine = np.arange(rank(), len(self.tokens), world())
        share = self.tokens.take(mine) if world() > 1 else self.tokens
        return interleaved(gather(predict_logits(model, share).argmax(1) == self.labels[mine]))

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        # Read before the scheduler moves on: TracIn weighs a checkpoint by the learning rate of the step itself.
        groups = given["optimizer"].param_groups
        self.rates = (float(groups[0]["lr"]), float(groups[1]["lr"]))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        now, model = self.clock(state), given["model"]
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
                save_checkpoint(self.record.checkpoint(step), model, facts)
            self.recorded["checkpoints"].append(step)
            control.should_save = step < state.max_steps

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        gather("saved")  # every process writes its own random state
        if rank() == 0:
            mark_whole(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}", self.recorded)


class _Progress(TrainerCallback):
    """Leaves the number of the step in a file, once a second, for whoever watches."""

    def __init__(self, file: Path) -> None:
        self.file, self.told = file, 0.0

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        if time.monotonic() - self.told > 1:
            self.told = time.monotonic()
            self.file.write_text(str(state.global_step))


def progress_file(folder: Path) -> Path:
    """Where a training in `folder` says how far it is."""
    return folder / "progress"


def predict_logits(
    model: nn.Module, tokens: Tokens | Features, batch_tokens: int = EVALUATION_TOKENS
) -> np.ndarray:
    """Logits (N, K) in eval mode, in float32, without gradients; the model's mode is put back."""
    device, training = next(model.parameters()).device, model.training
    # A training in bfloat16 puts an autocast before the forward of its model, which is kept beside it.
    forward = getattr(model, "_original_forward", model)
    logits: list[tuple[np.ndarray, np.ndarray]] = []
    model.eval()
    with torch.no_grad():
        for rows in length_sorted_batches(tokens.lengths, batch_tokens):
            logits.append((rows, forward(**tokens.batch(rows, device)).logits.float().cpu().numpy()))
    model.train(training)
    result = np.empty((len(tokens), logits[0][1].shape[1]), np.float32)
    for rows, values in logits:
        result[rows] = values
    return result


def parameter_groups(model: Classifier, config: TrainConfig) -> list[dict[str, Any]]:
    """Encoder and head, each with its learning rate, in this order."""
    return [
        {"params": list(model.encoder.parameters()), "lr": config.encoder_lr},
        {"params": list(model.head.parameters()), "lr": config.head_lr},
    ]


def fit(
    model: Classifier,
    tokens: Tokens,
    labels: np.ndarray,
    config: TrainConfig,
    seed: int,
    folder: Path,
    record: Record | None = None,
) -> int:
    """Fine-tune `model` in place; returns the number of optimiser steps, on a diet those it stands for.

    With `record`, checkpoints and whole-set evaluations are written, and a killed training goes on from its last checkpoint
    (weights, optimiser, schedule, data order and random state), ending with the same weights bit for bit. Under torchrun every
    process calls it with the same arguments: each takes its share of every batch, and the first one writes. What a diet
    did goes to `diet.json` in `folder`.

    Raises
    ------
    UserError
        the disk is full or cannot be written, or the training was begun by another number of processes.
    """
    total = steps_of(config, len(tokens))
    optimizer = torch.optim.AdamW(
        parameter_groups(model, config), weight_decay=config.weight_decay, fused=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    callbacks: list[TrainerCallback] = [_Progress(progress_file(folder))] if rank() == 0 else []
    per_epoch = math.ceil(len(tokens) / config.batch_size)
    point: str | None = None
    if record:
        evaluates = evaluation_steps(config, total, per_epoch) if record.evaluations else []
        recorder = _Recorder(record, tokens, labels, checkpoint_steps(config, total), evaluates)
        callbacks.append(recorder)
        with agreed():
            point = resume_point(folder, recorder.sound) if rank() == 0 else None
        if point:
            recorder.recorded = recorded_at(Path(point))
        point = from_the_first(point)
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=config.batch_size // world(),
        max_steps=total,
        seed=seed,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup,
        bf16=trains_in_bf16(config),
        use_cpu=not torch.accelerator.is_available(),
        save_strategy="no",
        logging_steps=max(1, total // 50),
        report_to=list(config.report_to) or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    # Without torchrun Trainer would spread over all GPUs, with a batch for each: another recipe.
    arguments._n_gpu = 1
    dataset = _TokenRows(tokens, labels)
    kind: Callable[..., Trainer] = _OrderedTrainer
    if world() > 1:
        kind = partial(_SharedTrainer, epoch=step_of(Path(point)) // per_epoch if point else 0)
    try:
        with quiet_transformers():
            trainer = kind(
                model,
                arguments,
                order=LengthGroupedOrder(tokens.lengths, config.batch_size, seed),
                train_dataset=dataset,
                data_collator=dataset.collate,
                optimizers=(optimizer, None),
                callbacks=callbacks,
            )
            trainer.remove_callback(PrinterCallback)
            if rank():
                torch.manual_seed(seed + (rank() << 32))  # each process drops other units of its rows
            if config.diet != "none":
                dieting = put_on_diet(trainer, config.diet, None, config.diet_options)
                if record:
                    recorder.clock = dieting.position
            trainer.train(resume_from_checkpoint=point)
            # What is measured later is measured in float32: the autocast of the training goes.
            trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
    except (OSError, RuntimeError) as error:
        if not failed_to_write(error):
            raise
        raise unwritable(folder, error) from error
    if config.diet != "none":
        write(folder / "diet.json", as_json(dieting.facts()))
    return int(trainer.state.global_step)
