"""What every library is given: one model, some of its checkpoints, one layer, and the same rows in the same batches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from thresher.models.classifier import Classifier
from thresher.models.encoder import layer_stack
from thresher.models.tokens import Tokens, pad_batch, tokenise
from thresher.run import FIRST, Run
from thresher.training.checkpoints import (
    build_classifier,
    checkpoint_table,
    list_checkpoints,
    load_weights,
)

# "encoder" and "classifier" are what thresher scores; "linear maps" are the encoder layer without its norms, for those
# libraries that know linear layers only.
LAYERS = ("encoder", "linear maps", "classifier")


@dataclass(frozen=True)
class Problem:
    """N rows by length, C checkpoints with the learning rates of the layer, and the modules whose parameters count."""

    model: Classifier
    layer: nn.Module
    modules: tuple[str, ...]
    tokens: Tokens
    labels: np.ndarray
    checkpoints: list[dict[str, Tensor]]
    rates: list[float]
    batch_size: int

    @property
    def parameters(self) -> list[str]:
        """Names of the parameters of the layer."""
        modules = dict(self.model.named_modules())
        return [f"{name}.{own}" for name in self.modules for own, _ in modules[name].named_parameters()]

    def freeze_others(self) -> None:
        """Only the layer takes gradients, so that no library pays for those of the rest."""
        wanted = set(self.parameters)
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(name in wanted)

    def end_backward_at_layer(self) -> None:
        """The layer's input requires a gradient, which some hooks need, and the backward pass ends there."""
        self.layer.register_forward_pre_hook(
            lambda layer, given: (given[0].detach().requires_grad_(), *given[1:])
        )

    def batches(self, collate: Callable[[dict[str, Tensor]], object] = lambda batch: batch) -> DataLoader:
        """Batches of `batch_size` rows in order, padded to their longest: input_ids, attention_mask, (types,) labels."""

        def padded(rows: list[int]) -> object:
            batch = pad_batch(self.tokens, rows)
            return collate({**batch, "labels": torch.from_numpy(self.labels[rows])})

        return DataLoader(Places(len(self.labels)), batch_size=self.batch_size, collate_fn=padded)


class Places(Dataset):
    """The numbers 0 to N - 1; batches are made from them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> int:
        if place >= self.count:
            raise IndexError(place)
        return place


class Logits(nn.Module):
    """The classifier as libraries expect one: tensors in by position, logits out."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.model(input_ids=input_ids.long(), attention_mask=attention_mask.long()).logits


def summed_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy summed over the batch: each row's gradient is then its own."""
    return nn.functional.cross_entropy(logits, labels, reduction="sum")


def load(run: Path, layer: str, rows: int, batch_size: int) -> Problem:
    """The first rows of a run folder, sorted by length so that little is padded, with all checkpoints of its first run."""
    torch.set_num_threads(1)
    opened = Run.open(run)
    data, classes = opened.config.data, {name: i for i, name in enumerate(opened.manifest.classes)}
    table = pl.read_parquet(opened.rows_file).head(rows)
    model, tokenizer = build_classifier(opened.model_folder)
    texts = [table[column].to_list() for column in data.text]
    tokens = tokenise(texts, tokenizer, opened.config.model.max_length)
    order = np.argsort(tokens.lengths, kind="stable")
    labels = np.array([classes[label] for label in table[data.label]])
    folder = opened.checkpoints(FIRST)
    model = model.eval().requires_grad_(False)
    last = model.head[-1] if layer == "classifier" else layer_stack(model.encoder)[-1]
    modules = tuple(
        name
        for name, module in model.named_modules()
        if module in set(last.modules())
        and any(True for _ in module.parameters(recurse=False))
        and (layer != "linear maps" or isinstance(module, nn.Linear))
    )
    rate = "head_lr" if layer == "classifier" else "encoder_lr"
    return Problem(
        model,
        last,
        modules,
        tokens.take(order),
        labels[order],
        [load_weights(path) for path in list_checkpoints(folder)],
        checkpoint_table(folder, 0)[rate].to_list(),
        batch_size,
    )
