"""Measure one chunk of rows: the unit of work, of resume and of distribution."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from thresher.config import SIGNALS
from thresher.errors import UserError
from thresher.models.classifier import Classifier
from thresher.models.frozen import Features, FrozenClassifier
from thresher.models.tokens import Tokens, tokenise
from thresher.rows.table import class_indices
from thresher.run import parquet
from thresher.run.layout import Layout
from thresher.run.training import Training
from thresher.signals.attention import use_short_attention
from thresher.signals.batch import STATISTICS, Weights, measure_batch, swap_weights
from thresher.signals.batches import each_batch
from thresher.signals.capture import layer_flow, measured_layers
from thresher.signals.ghost import check_formulas
from thresher.signals.plan import Plan, write_part
from thresher.training.checkpoints import build_classifier, load_weights
from thresher.training.feature_files import read_features
from thresher.training.finished import list_checkpoints

Model = Classifier | FrozenClassifier
Inputs = Tokens | Features


def loaded(plan: Plan) -> tuple[Model, PreTrainedTokenizerBase | None, list[Weights]]:
    """Model, tokenizer and the weights of all checkpoints of a plan, cached by the process between chunks.

    With bfloat16 the weights stay in float32; matrix products run in bfloat16 (autocast).
    """
    return _loaded(plan.run, plan.training, plan.dtype, plan.hash)


@lru_cache(maxsize=1)
def _loaded(
    run: Layout, training: Training, dtype: str, plan_hash: str
) -> tuple[Model, PreTrainedTokenizerBase | None, list[Weights]]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer = build_classifier(run.model_folder)
    precision = torch.float32 if dtype == "bfloat16" else getattr(torch, dtype)
    model = model.to(device=device, dtype=precision).eval().requires_grad_(False)
    if device.type == "cpu" and tokenizer is not None:
        use_short_attention(model.encoder)
    if dtype == "bfloat16":
        model.forward = in_bfloat16(model.forward, device.type)  # type: ignore[method-assign]
    weights = [
        {
            key: value.to(precision) if value.is_floating_point() else value
            for key, value in load_weights(path, device).items()
        }
        for path in list_checkpoints(run.checkpoints(training))
    ]
    return model, tokenizer, weights


def in_bfloat16(forward: Callable[..., object], device: str) -> Callable[..., object]:
    """The forward pass with matrix products in bfloat16, and its backward likewise."""
    wrapped: Callable[..., object] = torch.autocast(device, torch.bfloat16)(forward)
    return wrapped


def two_rows(inputs: Inputs) -> Inputs:
    """The first row twice, with three tokens each, to try formulas on.

    With two rows and three positions, an input without a row axis cannot be mistaken for one with it.
    """
    if isinstance(inputs, Features):
        return inputs.take([0, 0])
    ids = [np.resize(inputs.ids[0], 3)] * 2
    types = None if inputs.types is None else [np.resize(inputs.types[0], 3)] * 2
    return Tokens(ids, types, np.zeros(2, bool), inputs.pad)


def usable_layers(
    model: Model, weights: Weights, tokens: Inputs
) -> tuple[dict[str, list[nn.Module]], dict[str, str]]:
    """The layers to whose gradients a ghost rule applies, and the reason for each other one, checked on two rows."""
    usable: dict[str, list[nn.Module]] = {}
    refused: dict[str, str] = {}
    swap_weights(model, weights)
    batch = two_rows(tokens).batch([0, 1], next(iter(weights.values())).device)
    # Formulas are compared in full precision, not in bfloat16.
    forward = inspect.unwrap(model.forward)
    for name, find in measured_layers(model).items():
        try:
            modules = find()
            with torch.no_grad(), layer_flow(modules) as flow:
                forward(**batch)
            check_formulas(modules, flow, 2)
            usable[name] = modules
        except UserError as error:
            refused[name] = str(error)
    return usable, refused


def measure_tokens(
    model: Model,
    weights: list[Weights],
    tokens: Inputs,
    labels: np.ndarray,
    signals: Sequence[str] = SIGNALS,
    batch_tokens: int = 1024,
) -> dict[str, np.ndarray]:
    """The logits and the named signals of some rows, in their order; see `measure_batch` for shapes.

    Rows are batched by length, at most `batch_tokens` padded tokens at a time; on a GPU that runs out of memory the batch is
    halved until it fits. Neither changes a signal beyond rounding.
    """
    device = next(iter(weights[0].values())).device
    usable = usable_layers(model, weights[0], tokens)[0] if signals else {}
    layers = {name: modules for name, modules in usable.items() if name in signals}
    statistics = [name for name in STATISTICS if name in signals]
    results: dict[str, np.ndarray] = {}

    def measure(rows: np.ndarray) -> dict[str, np.ndarray]:
        batch, true = tokens.batch(rows, device), torch.from_numpy(labels[rows]).to(device)
        return measure_batch(model, weights, batch, true, layers, statistics)

    for rows, values in each_batch(tokens.lengths, batch_tokens, measure):
        for name, value in values.items():
            results.setdefault(name, np.empty((len(tokens), *value.shape[1:]), value.dtype))[rows] = value
    return results


def signal_frame(
    ids: pl.Series, labels: np.ndarray, inputs: Inputs, values: dict[str, np.ndarray]
) -> pl.DataFrame:
    columns: dict[str, Any] = {
        "id": ids,
        "label": labels.astype(np.int32),
        "n_tokens": inputs.lengths.astype(np.int32),
        "truncated": inputs.truncated,
    }
    return pl.DataFrame({**columns, **values})


def chunk_of_rows(plan: Plan, chunk: int) -> pl.DataFrame:
    """The rows of one chunk of the run folder, without reading the others into memory."""
    first, count = plan.rows_of(chunk)
    return parquet.scan(plan.run.rows_file).slice(first, count).collect()


def tokens_of(plan: Plan, rows: pl.DataFrame, tokenizer: PreTrainedTokenizerBase) -> Tokens:
    """Token ids of rows, as the model of a plan takes them."""
    texts = [rows[column].to_list() for column in plan.inputs.text]
    return tokenise(texts, tokenizer, plan.inputs.max_length)


def measure_chunk(plan: Plan, chunk: int) -> int:
    """Measure one chunk of the run folder and write its part; returns the number of rows."""
    table = measure_rows(plan, chunk, chunk_of_rows(plan, chunk))
    write_part(plan, chunk, table)
    return table.height


def measure_rows(plan: Plan, chunk: int, rows: pl.DataFrame) -> pl.DataFrame:
    model, tokenizer, weights = loaded(plan)
    labels, (first, _) = class_indices(rows[plan.inputs.label], plan.inputs.classes), plan.rows_of(chunk)
    inputs: Inputs = (
        tokens_of(plan, rows, tokenizer)
        if tokenizer is not None
        else read_features(plan.run.features_folder()).take(first + np.arange(rows.height))
    )
    values = measure_tokens(model, weights, inputs, labels, plan.signals, plan.batch_tokens)
    return signal_frame(rows["id"], labels, inputs, values)
