"""One chunk of rows, the unit of work, of resume and of distribution."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn

from thresher.errors import UserError
from thresher.model.classifier import Classifier
from thresher.model.frozen import Features, FrozenClassifier
from thresher.model.tokens import Tokens, length_sorted_batches, tokenise
from thresher.run_folder import read_manifest
from thresher.signals.batch import Weights, measure_batch, measure_logits, swap_weights
from thresher.signals.capture import embedding_leaf, layer_flow, measured_layers
from thresher.signals.plan import Plan, write_part
from thresher.training.checkpoints import build_classifier, list_checkpoints, load_weights
from thresher.training.features import features_file, read_features

Model = Classifier | FrozenClassifier
Inputs = Tokens | Features


@lru_cache(maxsize=1)
def loaded(run: Path, name: str, dtype: str, plan_hash: str) -> tuple[Model, Any, list[Weights]]:
    """Model, tokenizer and the weights of all checkpoints, kept by the process from chunk to chunk."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer = build_classifier(run / "checkpoints" / "model")
    precision = getattr(torch, dtype)
    model = model.to(device=device, dtype=precision).eval().requires_grad_(False)
    weights = [
        {
            key: value.to(precision) if value.is_floating_point() else value
            for key, value in load_weights(path, device).items()
        }
        for path in list_checkpoints(run / "checkpoints" / name)
    ]
    return model, tokenizer, weights


def usable_layers(
    model: Model, weights: Weights, tokens: Inputs
) -> tuple[dict[str, list[nn.Module]], dict[str, str]]:
    """The layers whose gradient norms can be measured, and the reason for each that cannot, tried on one row."""
    usable: dict[str, list[nn.Module]] = {}
    refused: dict[str, str] = {}
    swap_weights(model, weights)
    batch = tokens.batch([0], next(iter(weights.values())).device)
    for name, find in measured_layers(model).items():
        try:
            modules = find()
            with embedding_leaf(model), layer_flow(modules):
                model(**batch)
            usable[name] = modules
        except UserError as error:
            refused[name] = str(error)
    return usable, refused


def measure_tokens(
    model: Model,
    weights: list[Weights],
    tokens: Inputs,
    labels: np.ndarray,
    gradients: bool = True,
    batch_tokens: int = 2048,
) -> dict[str, np.ndarray]:
    """All signals of some rows, in their order; see `measure_batch` for names and shapes.

    Rows are batched by length, at most `batch_tokens` padded tokens at a time; on a GPU that runs out of memory the batch is
    halved until it fits. Neither changes a signal beyond rounding.
    """
    device = next(iter(weights[0].values())).device
    layers = usable_layers(model, weights[0], tokens)[0] if gradients else {}
    results: dict[str, np.ndarray] = {}
    queue = length_sorted_batches(tokens.lengths, batch_tokens)
    while queue:
        rows = queue.pop(0)
        try:
            batch = tokens.batch(rows, device)
            if gradients:
                values = measure_batch(
                    model, weights, batch, torch.from_numpy(labels[rows]).to(device), layers
                )
            else:
                values = measure_logits(model, weights, batch)
        except torch.cuda.OutOfMemoryError as error:
            if len(rows) == 1:
                raise UserError(
                    "the GPU has no memory for a single row; give a smaller max_length"
                ) from error
            torch.cuda.empty_cache()
            queue[:0] = [rows[: len(rows) // 2], rows[len(rows) // 2 :]]
            continue
        for name, value in values.items():
            results.setdefault(name, np.empty((len(tokens), *value.shape[1:]), value.dtype))[rows] = value
    return results


def signal_frame(
    ids: pl.Series, labels: np.ndarray, tokens: Inputs, values: dict[str, np.ndarray]
) -> pl.DataFrame:
    """The signals table of some rows."""
    columns: dict[str, Any] = {
        "id": ids,
        "label": labels.astype(np.int32),
        "n_tokens": tokens.lengths.astype(np.int32),
        "truncated": tokens.truncated,
    }
    return pl.DataFrame({**columns, **values})


def measure_chunk(plan: Plan, chunk: int) -> int:
    """Measure one chunk and write its part; returns the number of rows."""
    manifest = read_manifest(plan.run)
    data, classes = manifest["config"]["data"], manifest["classes"]
    first, count = plan.rows_of(chunk)
    rows = pl.scan_parquet(plan.run / "rows.parquet").slice(first, count).collect()
    labels = (
        rows[data["label"]].replace_strict(classes, range(len(classes)), return_dtype=pl.Int64).to_numpy()
    )
    model, tokenizer, weights = loaded(plan.run, plan.name, plan.dtype, plan.hash)
    max_length = manifest["config"]["model"]["max_length"]
    tokens = (
        read_features(features_file(plan.run)).take(np.arange(first, first + count))
        if tokenizer is None
        else tokenise([rows[column].to_list() for column in data["text"]], tokenizer, max_length)
    )
    values = measure_tokens(model, weights, tokens, labels, plan.gradients, plan.batch_tokens)
    write_part(plan, chunk, signal_frame(rows["id"], labels, tokens, values))
    return count
