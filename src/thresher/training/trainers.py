"""What all our trainings with Hugging Face `Trainer` have in common: a seeded order of rows, arguments, a full disk."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainingArguments

from thresher.config import TrainConfig
from thresher.quiet import quiet_transformers
from thresher.recording import hf_compat
from thresher.run.files import failed_to_write, unwritable
from thresher.training.order import LengthGroupedOrder
from thresher.training.recipe import trains_in_bf16

Place = TypeVar("Place")


class RowNumbers(Dataset[object]):
    """A dataset of row numbers; the collator makes the batch of the rows."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, place: Place) -> Place:
        return place


class OrderedTrainer(Trainer):
    """Trainer with an order of rows that depends only on seed and epoch."""

    def __init__(self, *args: Any, order: LengthGroupedOrder, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.order = order

    def get_train_dataloader(self) -> object:
        loader = DataLoader(
            self.train_dataset,
            batch_size=self.args.train_batch_size,
            sampler=self.order,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)


def trainer_arguments(
    config: TrainConfig, total: int, seed: int, folder: Path, rows: int, accumulated: int = 1
) -> TrainingArguments:
    """Trainer's arguments for `total` steps of `accumulated` forward passes with `rows` rows each."""
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=accumulated,
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
    # Without torchrun Trainer would use all GPUs with one batch each, which changes the recipe.
    hf_compat.use_one_gpu(arguments)
    return arguments


@contextmanager
def training_into(folder: Path) -> Iterator[None]:
    """Silence transformers, and turn a failed write into one line that names the folder."""
    try:
        with quiet_transformers():
            yield
    except (OSError, RuntimeError) as error:
        if not failed_to_write(error):
            raise
        raise unwritable(folder, error) from error
