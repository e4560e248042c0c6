"""One fine-tuning with Hugging Face `Trainer`: two learning rates, checkpoints, whole-set evaluations, resume."""

from __future__ import annotations

import math
import shutil
import time
from dataclasses import dataclass
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
from thresher.model.classifier import Classifier
from thresher.model.frozen import Features
from thresher.model.tokens import Tokens, length_sorted_batches, pad_batch
from thresher.quiet import quiet_transformers
from thresher.run_folder import failed_to_write, unwritable, write
from thresher.training.checkpoints import checkpoint_steps, evaluation_steps, save_checkpoint
from thresher.training.order import LengthGroupedOrder
from thresher.training.recipe import steps_of, trains_in_bf16

EVALUATION_TOKENS = 4096
COMPLETE = "thresher-complete"


@dataclass(frozen=True)
class Record:
    """What a training leaves behind beside its weights: where checkpoints and whole-set evaluations go, and row ids."""

    checkpoints: Path
    evaluations: Path | None
    ids: pl.Series


class _TokenRows(Dataset[dict[str, Any]]):
    def __init__(self, tokens: Tokens, labels: np.ndarray) -> None:
        self.tokens, self.labels = tokens, labels

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"row": row}

    def collate(self, items: list[dict[str, Any]]) -> dict[str, Tensor]:
        rows = [item["row"] for item in items]
        return {**pad_batch(self.tokens, rows), "labels": torch.from_numpy(self.labels[rows])}


class _OrderedTrainer(Trainer):
    """Trainer with an order that depends on the seed and the epoch alone."""

    def __init__(self, *args: Any, order: LengthGroupedOrder, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order = order

    def _get_train_sampler(self, train_dataset: Any = None) -> LengthGroupedOrder:
        return self.order


class _Recorder(TrainerCallback):
    """Saves weights, learning rates and whole-set evaluations at their steps, and Trainer's own state for a resume."""

    def __init__(
        self, record: Record, tokens: Tokens, labels: np.ndarray, saves: list[int], evaluates: list[int]
    ) -> None:
        self.record, self.tokens, self.labels = record, tokens, labels
        self.saves, self.evaluates = frozenset(saves), frozenset(evaluates)
        self.rates = (0.0, 0.0)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        # Read before the scheduler moves on: TracIn weighs a checkpoint by the learning rate of the step itself.
        groups = given["optimizer"].param_groups
        self.rates = (float(groups[0]["lr"]), float(groups[1]["lr"]))

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        step, model = state.global_step, given["model"]
        if step in self.evaluates and self.record.evaluations is not None:
            correct = predict_logits(model, self.tokens).argmax(1) == self.labels
            table = pl.DataFrame({"id": self.record.ids, "correct": correct})
            write(self.record.evaluations / f"step-{step:08d}.parquet", table.write_parquet)
        if step in self.saves:
            facts = {
                "step": step,
                "epoch": state.epoch,
                "encoder_lr": self.rates[0],
                "head_lr": self.rates[1],
            }
            save_checkpoint(self.record.checkpoints / f"step-{step:08d}", model, facts)
            control.should_save = step < state.max_steps

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **given: Any
    ) -> None:
        write(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / COMPLETE, "")


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
    """Logits (N, K) in eval mode, without gradients; the model's mode is put back."""
    device, training = next(model.parameters()).device, model.training
    logits: list[tuple[np.ndarray, np.ndarray]] = []
    model.eval()
    with torch.no_grad():
        for rows in length_sorted_batches(tokens.lengths, batch_tokens):
            logits.append((rows, model(**tokens.batch(rows, device)).logits.float().cpu().numpy()))
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


def resume_point(folder: Path) -> str | None:
    """The last whole checkpoint that Trainer left in a folder; half-written ones are removed."""
    whole = []
    for path in folder.glob("checkpoint-*"):
        if (path / COMPLETE).is_file():
            whole.append(path)
        else:
            shutil.rmtree(path)
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def fit(
    model: Classifier,
    tokens: Tokens,
    labels: np.ndarray,
    config: TrainConfig,
    seed: int,
    folder: Path,
    record: Record | None = None,
) -> int:
    """Fine-tune `model` in place; returns the number of optimiser steps.

    With `record`, checkpoints and whole-set evaluations are written, and a killed training goes on from its last checkpoint
    (weights, optimiser, schedule, data order and random state), ending with the same weights bit for bit.

    Raises
    ------
    UserError
        the disk is full or cannot be written.
    """
    total = steps_of(config, len(tokens))
    optimizer = torch.optim.AdamW(
        parameter_groups(model, config), weight_decay=config.weight_decay, fused=True
    )
    folder.mkdir(parents=True, exist_ok=True)
    callbacks: list[TrainerCallback] = [_Progress(progress_file(folder))]
    if record:
        per_epoch = math.ceil(len(tokens) / config.batch_size)
        evaluates = evaluation_steps(config, total, per_epoch) if record.evaluations else []
        callbacks.append(_Recorder(record, tokens, labels, checkpoint_steps(config, total), evaluates))
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=config.batch_size,
        max_steps=total,
        seed=seed,
        lr_scheduler_type=config.schedule,
        warmup_steps=config.warmup,
        bf16=trains_in_bf16(config),
        use_cpu=not torch.accelerator.is_available(),
        save_strategy="no",
        save_total_limit=2,
        logging_steps=max(1, total // 50),
        report_to=list(config.report_to) or "none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    dataset = _TokenRows(tokens, labels)
    try:
        with quiet_transformers():
            trainer = _OrderedTrainer(
                model,
                arguments,
                order=LengthGroupedOrder(tokens.lengths, config.batch_size, seed),
                train_dataset=dataset,
                data_collator=dataset.collate,
                optimizers=(optimizer, None),
                callbacks=callbacks,
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train(resume_from_checkpoint=resume_point(folder) if record else None)
    except (OSError, RuntimeError) as error:
        if not failed_to_write(error):
            raise
        raise unwritable(folder, error) from error
    return int(trainer.state.global_step)
