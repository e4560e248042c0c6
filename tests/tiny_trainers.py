"""Trainers of tiny models for tests, and the expected records by plain autograd."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import transformers
from datasets import Dataset
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from thresher.run import FIRST, Run
from thresher.signals.measure import read_signals
from tiny import SHAPES, VOCABULARY, WORDS, tokenizer_of

ROWS, CLASSES = 21, 3


def sequence_model(kind: str, dropout: float = 0.0) -> nn.Module:
    """A sequence classifier of transformers with weights large enough that every gradient counts."""
    return _model(AutoModelForSequenceClassification, kind, dropout)


def token_model(kind: str, dropout: float = 0.0) -> nn.Module:
    """A token classifier of transformers."""
    return _model(AutoModelForTokenClassification, kind, dropout)


def _model(family: Any, kind: str, dropout: float) -> nn.Module:
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](vocab_size=len(VOCABULARY) + 8, num_labels=CLASSES, **SHAPES[kind])
    config.pad_token_id = 0
    model = family.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = dropout
        if hasattr(module, "attention_dropout") and isinstance(module.attention_dropout, float):
            module.attention_dropout = dropout
    return model


def texts(rows: int, seed: int = 0) -> list[str]:
    """Different texts of 2 to 10 words."""
    random = np.random.default_rng(seed)
    found: dict[str, None] = {}
    while len(found) < rows:
        found[" ".join(random.choice(WORDS, random.integers(2, 11)))] = None
    return list(found)


def sequence_rows(kind: str, pairs: bool = False, rows: int = ROWS) -> Dataset:
    """Tokenised rows with a label each, and columns that the model does not take."""
    tokenizer = tokenizer_of(kind)
    first, second = texts(rows), texts(rows, seed=1)
    encoded = tokenizer(first, second) if pairs else tokenizer(first)
    columns = {"premise": first, "hypothesis": second} if pairs else {"sentence": first}
    labels = np.random.default_rng(2).integers(0, CLASSES, rows).tolist()
    return Dataset.from_dict({**columns, **encoded, "label": labels})


def token_rows(kind: str, rows: int = ROWS) -> Dataset:
    """Tokenised rows with a label per word, and none for special tokens."""
    encoded = tokenizer_of(kind)(texts(rows))
    special = {VOCABULARY["[CLS]"], VOCABULARY["[SEP]"]}
    labels = [[-100 if t in special else t % CLASSES for t in row] for row in encoded["input_ids"]]
    return Dataset.from_dict({**encoded, "labels": labels})


def trainer_of(
    model: nn.Module,
    rows: Dataset,
    folder: Path,
    kind: str = "bert",
    of: type[Trainer] = Trainer,
    padding_side: str = "right",
    callbacks: Any = None,
    **arguments: Any,
) -> Trainer:
    """A trainer as in the guides of transformers."""
    tokenizer = tokenizer_of(kind)
    tokenizer.padding_side = padding_side
    per_token = "labels" in getattr(rows, "column_names", ())
    collator = (
        DataCollatorForTokenClassification(tokenizer) if per_token else DataCollatorWithPadding(tokenizer)
    )
    settings = {
        "per_device_train_batch_size": 4,
        "num_train_epochs": 3,
        "learning_rate": 1e-2,
        "save_strategy": "no",
        "logging_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 3,
    }
    args = TrainingArguments(output_dir=str(folder), **(settings | arguments))
    return of(
        model,
        args,
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=collator,
        callbacks=callbacks,
    )


def sampling(strategy: str) -> dict[str, Any]:
    """The arguments for an order of rows, in the words of the installed transformers; skips a test of one it does not have.

    transformers 5.0 and 5.1 know `group_by_length=True` only.
    """
    names = {field.name for field in dataclasses.fields(TrainingArguments)}
    if "train_sampling_strategy" in names:
        return {"train_sampling_strategy": strategy}
    if strategy != "group_by_length":
        pytest.skip(f"transformers {transformers.__version__} has no train_sampling_strategy")
    return {"group_by_length": True}


def signals_of(run: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The signals of a recorded training, and its checkpoints."""
    return read_signals(Run.open(run), FIRST)


def rows_of(run: Path) -> pl.DataFrame:
    """The rows of a run folder."""
    return pl.read_parquet(Run.open(run).rows_file)


def note_steps(trainer: Trainer) -> dict[int, list[dict[str, Any]]]:
    """Before each step from now on, note by plain autograd what each row gives, one row at a time and without padding."""
    noted: dict[int, list[dict[str, Any]]] = defaultdict(list)
    number = {tuple(row): i for i, row in enumerate(trainer.train_dataset["input_ids"])}
    step = trainer.training_step

    def training_step(model: nn.Module, inputs: Any, *more: Any) -> torch.Tensor:
        model.train()
        for i in range(len(inputs["input_ids"])):
            true = inputs["attention_mask"][i].bool()
            names = [name for name in ("input_ids", "attention_mask", "token_type_ids") if name in inputs]
            row = {name: inputs[name][i][true][None] for name in names}
            labels = inputs["labels"][i]
            labels = labels[true][None] if labels.dim() else labels[None]
            if (labels >= 0).any():
                noted[number[tuple(row["input_ids"][0].tolist())]].append(note_of(trainer.model, row, labels))
        return step(model, inputs, *more)

    trainer.training_step = training_step
    return noted


def note_of(model: nn.Module, row: dict[str, torch.Tensor], labels: torch.Tensor) -> dict[str, Any]:
    """Logits, loss, gradient of the loss by the embeddings, squared gradient norm of the last linear layer."""
    base = getattr(model, model.base_model_prefix)
    layer = base.embeddings if hasattr(base, "embeddings") else base.get_input_embeddings()
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    kept: list[torch.Tensor] = []
    handle = layer.register_forward_hook(lambda module, given, output: kept.append(output))
    logits = model(**row).logits
    handle.remove()
    flat, target = logits.reshape(-1, logits.shape[-1]), labels.reshape(-1)
    losses = [-torch.log_softmax(flat[i], 0)[target[i]] for i in range(len(target)) if target[i] != -100]
    loss = sum(losses) / len(losses)
    gradient, *of_last = torch.autograd.grad(loss, [kept[0], *last.parameters()])
    true = target != -100
    errors = torch.softmax(flat[true], -1) - nn.functional.one_hot(target[true], flat.shape[1])
    others = flat[true].scatter(1, target[true][:, None], -torch.inf).amax(1)
    return {
        "logits": logits[0].detach().numpy(),
        "loss": loss.item(),
        "margin": (flat[true].gather(1, target[true][:, None])[:, 0] - others).mean().item(),
        "error_norm": errors.norm(dim=1).mean().item(),
        "correct": bool((flat[true].argmax(1) == target[true]).all()),
        "gradient": gradient[0].detach().double().numpy(),
        "classifier_sq_norm": sum(one.square().sum().item() for one in of_last),
    }
