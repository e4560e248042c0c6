"""The trainings of a stack: the domain classifier on all rows, and for every domain one model on its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import polars as pl
from torch import nn

from thresher.config import TrainConfig
from thresher.model.classifier import Classifier
from thresher.model.encoder import load_encoder
from thresher.model.tokens import tokenise
from thresher.nlu.rows.bio import OUTSIDE, tags_of
from thresher.nlu.rows.table import Labels, utterances, words
from thresher.nlu.stack.config import StackConfig
from thresher.nlu.stack.encode import encode, joint_labels
from thresher.nlu.stack.joint import JointModel, freeze, freshly
from thresher.nlu.stack.vocabulary import only_used
from thresher.training.fit import Record, fit
from thresher.training.train import new_classifier


def tags_for(labels: Sequence[str]) -> list[str]:
    """The tags of a domain's slot labels, O first.

    >>> tags_for(["time"])
    ['O', 'B-time', 'I-time']
    """
    return [OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in ("B", "I"))]


def needs_model(labels: Labels, domain: str) -> bool:
    """Whether there is anything to learn in a domain: several intents, or slots."""
    return len(labels.intents[domain]) > 1 or bool(labels.slots[domain])


def joint_recipe(config: StackConfig, rows: int) -> TrainConfig:
    """The recipe of a domain's model: as many epochs as set, and at least so many steps."""
    recipe = config.joint
    steps = math.ceil(recipe.epochs * math.ceil(rows / recipe.batch_size))
    return recipe.model_copy(update={"max_steps": recipe.max_steps or max(steps, config.joint_least_steps)})


def train_domain(
    rows: pl.DataFrame,
    domains: Sequence[str],
    config: StackConfig,
    folder: Path,
    record: Record | None = None,
) -> tuple[Classifier, Any]:
    """The domain classifier, trained on all rows, and its tokenizer.

    Parameters
    ----------
    rows
        annotated rows.
    domains
        the classes, two or more.
    folder
        where the training keeps its state.
    record
        where checkpoints go, for scores.
    """
    model, tokenizer = new_classifier(config.model, len(domains), config.seed)
    labels = (
        rows["domain"].replace_strict(list(domains), range(len(domains)), return_dtype=pl.Int64).to_numpy()
    )
    tokens = tokenise([rows["text"].to_list()], tokenizer, config.model.max_length)
    if record is not None:
        # Checkpoints are read by whoever knows the whole vocabulary.
        fit(model, tokens, labels, config.domain, config.seed, folder, record)
        return model, tokenizer
    with only_used(model.encoder, tokens) as used:
        fit(model, used, labels, config.domain, config.seed, folder)
    return model, tokenizer


def joint_targets(rows: pl.DataFrame, labels: Labels, domain: str) -> tuple[list[int], list[list[int]]]:
    """Intent and word tags of every row, as numbers."""
    intents = {name: at for at, name in enumerate(labels.intents[domain])}
    tags = {name: at for at, name in enumerate(tags_for(labels.slots[domain]))}
    wanted = [[tags[tag] for tag in tags_of(words(row.text), row.slots)] for row in utterances(rows)]
    return [intents[name] for name in rows["intent"]], wanted


def train_joint(
    rows: pl.DataFrame,
    labels: Labels,
    domain: str,
    config: StackConfig,
    folder: Path,
    record: Record | None = None,
) -> tuple[JointModel, Any]:
    """The intent and slot model of one domain, trained on that domain's rows, and its tokenizer."""
    encoder, tokenizer = load_encoder(config.model)
    n_intents, n_tags = len(labels.intents[domain]), len(tags_for(labels.slots[domain]))
    model = freshly(encoder, n_intents, n_tags, config.model, config.seed)
    freeze(encoder, config.joint_frozen_layers)
    encoded = encode(rows["text"].to_list(), tokenizer, config.model.max_length)
    targets = joint_labels(encoded, *joint_targets(rows, labels, domain))
    recipe = joint_recipe(config, rows.height)
    if record is not None:
        _fit(model, encoded.tokens, targets, recipe, config.seed, folder, record)
        return model, tokenizer
    with only_used(model.encoder, encoded.tokens) as used:
        _fit(model, used, targets, recipe, config.seed, folder, None)
    return model, tokenizer


def _fit(
    model: nn.Module,
    tokens: Any,
    targets: np.ndarray,
    recipe: TrainConfig,
    seed: int,
    folder: Path,
    record: Record | None,
) -> None:
    # `fit` asks for an encoder, a head and a loss, which the joint model has, too.
    fit(cast(Classifier, model), tokens, targets, recipe, seed, folder, record)
