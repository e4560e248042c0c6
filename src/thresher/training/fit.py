"""Fine-tune one model with Hugging Face `Trainer`: two learning rates, checkpoints, whole-set evaluations, resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback

from thresher.config import TrainConfig
from thresher.execution.torchrun import agreed, from_the_first, rank, world
from thresher.models.classifier import Classifier
from thresher.models.tokens import Tokens, pad_batch
from thresher.run.files import as_json, write
from thresher.training.diets.put_on_diet import put_on_diet
from thresher.training.order import LengthGroupedOrder
from thresher.training.recipe import steps_of
from thresher.training.record import CheckpointCallback, Progress, Record, progress_file
from thresher.training.resume import recorded_at, resume_point, step_of
from thresher.training.saved_steps import checkpoint_steps, evaluation_steps
from thresher.training.shared import SharedBatches, shared_loader, shared_loss
from thresher.training.trainers import OrderedTrainer, RowNumbers, trainer_arguments, training_into
from thresher.training.vocabulary import trimmed_vocabulary


class _SharedTrainer(Trainer):
    """Trainer of one of several processes that share every batch."""

    def __init__(self, *args: Any, order: LengthGroupedOrder, epoch: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches = SharedBatches(order, rank(), world(), epoch)

    def get_train_dataloader(self) -> Any:
        return shared_loader(self.train_dataset, self.data_collator, self.batches)

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        loss, outputs = shared_loss(model, inputs)
        return (loss, outputs) if return_outputs else loss


def parameter_groups(model: Classifier, config: TrainConfig) -> list[dict[str, object]]:
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
    """Fine-tune `model` in place; returns the number of optimiser steps, on a diet those of a training on all rows.

    With `record`, checkpoints and whole-set evaluations are written, and a killed training resumes from its last checkpoint
    (weights, optimiser, schedule, data order and random state), ending with the same weights bit for bit. Under torchrun every
    process calls it with the same arguments: each takes its share of every batch, and the first one writes. The facts of a
    diet are written to `diet.json` in `folder`.

    Raises UserError: the disk is full or cannot be written, or the training was started by another number of processes.
    """
    with trimmed_vocabulary(model, tokens, config.weight_decay) as (tokens, full):
        total = steps_of(config, len(tokens))
        optimizer = torch.optim.AdamW(
            parameter_groups(model, config), weight_decay=config.weight_decay, fused=True
        )
        folder.mkdir(parents=True, exist_ok=True)
        callbacks: list[TrainerCallback] = [Progress(progress_file(folder))] if rank() == 0 else []
        per_epoch = math.ceil(len(tokens) / config.batch_size)
        point: str | None = None
        if record:
            evaluates = evaluation_steps(config, total, per_epoch) if record.evaluations else []
            checkpoints = CheckpointCallback(
                record, tokens, labels, checkpoint_steps(config, total), evaluates, full
            )
            callbacks.append(checkpoints)
            with agreed():
                point = resume_point(folder, checkpoints.usable) if rank() == 0 else None
            if point:
                checkpoints.recorded = recorded_at(Path(point))
            point = from_the_first(point)

        def collate(rows: list[int]) -> dict[str, Tensor]:
            return {**pad_batch(tokens, rows), "labels": torch.from_numpy(labels[rows])}

        kind: Callable[..., Trainer] = OrderedTrainer
        if world() > 1:
            kind = partial(_SharedTrainer, epoch=step_of(Path(point)) // per_epoch if point else 0)
        with training_into(folder):
            trainer = kind(
                model,
                trainer_arguments(config, total, seed, folder, config.batch_size // world()),
                order=LengthGroupedOrder(tokens.lengths, config.batch_size, seed),
                train_dataset=RowNumbers(len(tokens)),
                data_collator=collate,
                optimizers=(optimizer, None),
                callbacks=callbacks,
            )
            trainer.remove_callback(PrinterCallback)
            if rank():
                # So that the dropout masks differ between processes.
                torch.manual_seed(seed + (rank() << 32))
            if config.diet != "none":
                diet = put_on_diet(trainer, config.diet, None, config.diet_options)
                if record:
                    checkpoints.clock = diet.position
            trainer.train(resume_from_checkpoint=point)
            # Remove the autocast of the training, because signals are measured in float32.
            trainer.accelerator.unwrap_model(model, keep_fp32_wrapper=False)
        if config.diet != "none":
            write(folder / "diet.json", as_json(diet.facts()))
        return int(trainer.state.global_step)
