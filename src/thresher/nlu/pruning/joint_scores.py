"""Scores by the intent and slot models: EL2N and VoG of the intent output and of the slot outputs.

The paper scores rows by the domain classifier alone and leaves token-level models to future work.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from thresher.execution.engines import run_tasks
from thresher.models.classifier import Classifier
from thresher.models.tokens import Tokens, length_sorted_batches, pad_batch
from thresher.nlu.rows.table import Labels, labels_of
from thresher.nlu.stack.config import StackConfig
from thresher.nlu.stack.encode import IGNORED
from thresher.nlu.stack.joint import JointModel
from thresher.nlu.stack.train import joint_parts, needs_model
from thresher.recording.row_signals import error_of
from thresher.scores.vog import variance_of_gram
from thresher.signals.batch import gram, swap_weights
from thresher.signals.capture import embedding_leaf
from thresher.training.checkpoints import checkpoint_table, load_weights
from thresher.training.finished import list_checkpoints
from thresher.training.fit import fit
from thresher.training.record import Record
from thresher.training.vocabulary import trimmed_vocabulary

EPOCH = 2.0  # of the checkpoint that EL2N reads, as for classifiers
BATCH_TOKENS = 2048
NAMES = ("el2n_intent", "el2n_slots", "vog_intent", "vog_slots")
Numbers = npt.NDArray[np.float64]
Weights = dict[str, Tensor]


def joint_scores(rows: pl.DataFrame, config: StackConfig, *, workers: int | None = None) -> pl.DataFrame:
    """EL2N and VoG of every row over the intent output and over the slot outputs of its domain's model.

    - el2n_intent = || softmax(intent) - onehot ||; el2n_slots = mean over the row's words of || softmax(tag) - onehot ||, at
      the checkpoint nearest to epoch 2.
    - vog_intent and vog_slots: variance over the checkpoints of the gradient, with respect to the output of the embedding
      layer, of the true intent's logit, and of the sum over the words of their true tags' logits; summed over elements.

    A domain that needs no model (one intent, no slots) has scores of 0.

    Returns `id, el2n_intent, el2n_slots, vog_intent, vog_slots`, in the order of the rows.
    """
    labels = labels_of(rows)
    domains = [name for name in labels.intents if needs_model(labels, name)]
    counts = dict(rows["domain"].value_counts().iter_rows())
    domains.sort(key=lambda name: -counts[name])
    jobs = [(rows.filter(domain=name), labels, name, config) for name in domains]
    parts = [table for _, table in run_tasks(score_domain, jobs, workers)]
    empty = pl.DataFrame(schema={"id": pl.String(), **dict.fromkeys(NAMES, pl.Float64())})
    found = rows.select("id").join(pl.concat([empty, *parts]), on="id", how="left", maintain_order="left")
    return found.with_columns(pl.col(NAMES).fill_null(0.0))


def score_domain(rows: pl.DataFrame, labels: Labels, domain: str, config: StackConfig) -> pl.DataFrame:
    """Train one domain's model with checkpoints, and score its rows; its files are temporary."""
    model, _, encoded, targets, recipe = joint_parts(rows, labels, domain, config)
    scratch = Path(tempfile.mkdtemp(prefix="thresher-"))
    try:
        # Checkpoints then have the used tokens only.
        with trimmed_vocabulary(model, encoded.tokens, recipe.weight_decay) as (used, _):
            record = Record(scratch / "checkpoints", None, rows["id"])
            fit(cast(Classifier, model), used, targets, recipe, config.seed, scratch / "training", record)
            model.cpu()
            paths = list_checkpoints(scratch / "checkpoints")
            epochs = checkpoint_table(scratch / "checkpoints", 1)["epoch"].to_numpy()
            weights = [load_weights(path) for path in paths]
            values = measure(model, weights, used, targets, int(np.abs(epochs - EPOCH).argmin()))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return pl.DataFrame({"id": rows["id"], **dict(zip(NAMES, values, strict=True))})


def measure(
    model: JointModel, checkpoints: list[Weights], tokens: Tokens, targets: npt.NDArray[np.int64], at: int
) -> tuple[Numbers, ...]:
    """The four scores of every row, (N,) each; `at` is the checkpoint that EL2N reads. No score depends on the batches."""
    training, needed = model.training, [parameter.requires_grad for parameter in model.parameters()]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.eval().requires_grad_(False)
    found = np.zeros((len(NAMES), len(tokens)))
    for rows in length_sorted_batches(tokens.lengths, BATCH_TOKENS):
        batch = pad_batch(tokens, rows)
        width = batch["input_ids"].shape[1]
        wanted = torch.from_numpy(targets[rows])
        found[:, rows] = _measure_batch(model, checkpoints, batch, wanted[:, 0], wanted[:, 1 : 1 + width], at)
    swap_weights(model, before)
    model.train(training)
    for parameter, one in zip(model.parameters(), needed, strict=True):
        parameter.requires_grad_(one)
    return tuple(found)


def _measure_batch(
    model: JointModel,
    checkpoints: list[Weights],
    batch: dict[str, Tensor],
    intents: Tensor,
    tags: Tensor,
    at: int,
) -> Numbers:
    gradients: dict[str, list[Tensor]] = {"intent": [], "slots": []}
    words = tags != IGNORED  # (B, T)
    safe = tags.masked_fill(~words, 0)
    el2n: list[Any] = []
    for number, weights in enumerate(checkpoints):
        swap_weights(model, weights)
        with embedding_leaf(cast(Classifier, model)) as leaf:
            output = model(**batch)
        intent = output["intent"].gather(1, intents[:, None]).sum()
        slots = (output["tags"].gather(2, safe[:, :, None])[:, :, 0] * words).sum()
        gradients["intent"].append(torch.autograd.grad(intent, leaf["embedding"], retain_graph=True)[0])
        gradients["slots"].append(torch.autograd.grad(slots, leaf["embedding"])[0])
        if number == at:
            one = error_of(output["intent"].detach().double(), intents).norm(dim=-1)
            each = error_of(output["tags"].detach().double(), safe).norm(dim=-1) * words
            el2n = [one, each.sum(1) / words.sum(1).clamp(min=1)]
    stacked = [torch.stack(gradients[name], 1).flatten(2) for name in ("intent", "slots")]  # (B, C, T H)
    vog = [variance_of_gram(gram(one).numpy()) for one in stacked]
    return np.stack([*(value.numpy() for value in el2n), *vog])
