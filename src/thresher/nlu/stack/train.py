"""The trainings of a stack: the domain classifier on all rows, and a joint model for every domain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt
import polars as pl
import torch

from thresher.config import TrainConfig
from thresher.models.classifier import Classifier
from thresher.models.tokens import tokenise
from thresher.nlu.rows.bio import OUTSIDE, tags_of
from thresher.nlu.rows.checked import words
from thresher.nlu.rows.table import Labels, utterances
from thresher.nlu.stack.config import StackConfig
from thresher.nlu.stack.encode import Encoded, encode, joint_labels
from thresher.nlu.stack.frozen import stack_encoder
from thresher.nlu.stack.joint import JointModel, freeze, freshly
from thresher.training.fit import fit

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def tags_for(labels: Sequence[str]) -> list[str]:
    """The tags of a domain's slot labels, O first.

    >>> tags_for(["time"])
    ['O', 'B-time', 'I-time']
    """
    return [OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in ("B", "I"))]


def needs_model(labels: Labels, domain: str) -> bool:
    """Whether a domain has several intents or slots; otherwise its answer is constant."""
    return len(labels.intents[domain]) > 1 or bool(labels.slots[domain])


def joint_recipe(config: StackConfig, rows: int) -> TrainConfig:
    """The recipe of a domain's joint model: the configured epochs, but at least `joint_least_steps` steps."""
    recipe = config.joint
    steps = math.ceil(recipe.epochs * math.ceil(rows / recipe.batch_size))
    return recipe.model_copy(update={"max_steps": recipe.max_steps or max(steps, config.joint_least_steps)})


def with_steps(config: StackConfig, rows: int) -> StackConfig:
    """The settings with the number of steps fixed to that of a domain of `rows` rows."""
    steps = {"max_steps": joint_recipe(config, rows).max_steps}
    return config.model_copy(update={"joint": config.joint.model_copy(update=steps)})


def train_domain(
    rows: pl.DataFrame, domains: Sequence[str], config: StackConfig, folder: Path
) -> tuple[Classifier, PreTrainedTokenizerBase]:
    """The domain classifier, trained on all rows, and its tokenizer.

    `rows`: annotated rows. `domains`: the classes, two or more. `folder`: for the state of the training.
    """
    encoder, tokenizer = stack_encoder(config.model)
    torch.manual_seed(config.seed)
    model = Classifier(encoder, len(domains), config.model)
    labels = rows["domain"].replace_strict(list(domains), range(len(domains)), return_dtype=pl.Int64)
    tokens = tokenise([rows["text"].to_list()], tokenizer, config.model.max_length)
    fit(model, tokens, labels.to_numpy(), config.domain, config.seed, folder)
    return model.cpu(), tokenizer  # answers are computed on the CPU


def joint_targets(rows: pl.DataFrame, labels: Labels, domain: str) -> tuple[list[int], list[list[int]]]:
    """Intent and word tags of every row, as numbers."""
    intents = {name: at for at, name in enumerate(labels.intents[domain])}
    tags = {name: at for at, name in enumerate(tags_for(labels.slots[domain]))}
    wanted = [[tags[tag] for tag in tags_of(words(row.text), row.slots)] for row in utterances(rows)]
    return [intents[name] for name in rows["intent"]], wanted


def joint_parts(
    rows: pl.DataFrame, labels: Labels, domain: str, config: StackConfig
) -> tuple[JointModel, PreTrainedTokenizerBase, Encoded, npt.NDArray[np.int64], TrainConfig]:
    """What the training of a domain needs: a new model, its tokenizer, the encoded rows, their targets, the recipe."""
    encoder, tokenizer = stack_encoder(config.model)
    n_intents, n_tags = len(labels.intents[domain]), len(tags_for(labels.slots[domain]))
    model = freshly(encoder, n_intents, n_tags, config.model, config.seed)
    freeze(encoder, config.joint_frozen_layers)
    encoded = encode(rows["text"].to_list(), tokenizer, config.model.max_length)
    targets = joint_labels(encoded, *joint_targets(rows, labels, domain))
    return model, tokenizer, encoded, targets, joint_recipe(config, rows.height)


def train_joint(
    rows: pl.DataFrame, labels: Labels, domain: str, config: StackConfig, folder: Path
) -> tuple[JointModel, PreTrainedTokenizerBase]:
    """The intent and slot model of one domain, trained on that domain's rows, and its tokenizer."""
    model, tokenizer, encoded, targets, recipe = joint_parts(rows, labels, domain, config)
    # `fit` needs an encoder, a head and a loss, which the joint model has too.
    fit(cast(Classifier, model), encoded.tokens, targets, recipe, config.seed, folder)
    return model.cpu(), tokenizer
