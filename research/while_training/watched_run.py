"""The recipe of `thresher.training.fit` run by Hugging Face's Trainer, recorded."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

import thresher as th
from thresher.models.classifier import Classifier
from thresher.models.tokens import Tokens, pad_batch, tokenise
from thresher.rows import read_rows
from thresher.run import Run
from thresher.training.fit import parameter_groups
from thresher.training.order import LengthGroupedOrder
from thresher.training.train import new_classifier

# A training that is timed or watched: on the processor, and nothing saved or said on the way.
SILENT: dict[str, Any] = {
    "use_cpu": True,
    "save_strategy": "no",
    "logging_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
}


class Watchable(torch.utils.data.Dataset[dict[str, Any]]):
    """Tokenised rows for a Trainer."""

    def __init__(self, tokens: Tokens, labels: np.ndarray) -> None:
        self.tokens, self.labels = tokens, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"row": row, "label": int(self.labels[row])}

    def collate(self, items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        rows = [item["row"] for item in items]
        return {**pad_batch(self.tokens, rows), "labels": torch.from_numpy(self.labels[rows])}


def inputs(run: Run, seed: int) -> tuple[Classifier, Tokens, np.ndarray]:
    """A fresh model of a run folder's kind, and its rows."""
    model_config = run.config.model
    rows = read_rows(run.rows_file)
    model, tokenizer = new_classifier(model_config, len(rows.classes), seed)
    texts = [rows.table[column].to_list() for column in rows.text]
    return model, tokenise(texts, tokenizer, model_config.max_length), rows.labels()


def watch(run: Run, out: Path, seed: int) -> Path:
    """Train the model of a run folder as `fit` does, with Hugging Face's Trainer, watched; the run folder that comes of it."""
    from transformers import Trainer, TrainingArguments

    model, tokens, labels = inputs(run, seed)
    config = run.config.train
    rows = Watchable(tokens, labels)

    class Ordered(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return LengthGroupedOrder(tokens.lengths, config.batch_size, seed)

    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=config.batch_size,
            num_train_epochs=config.epochs,
            seed=seed,
            lr_scheduler_type=config.schedule,
            warmup_steps=config.warmup,
            remove_unused_columns=False,
            **SILENT,
        )
        optimizer = torch.optim.AdamW(parameter_groups(model, config), weight_decay=0.0, fused=True)
        trainer = Ordered(
            model, args, train_dataset=rows, data_collator=rows.collate, optimizers=(optimizer, None)
        )
        watched = th.watch(trainer, out, force=True)
        trainer.train()
    th.score(watched)
    return Path(watched)
