"""Predictions of the models of a stack: domain probabilities, intents and slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import softmax

from thresher.models.classifier import Classifier
from thresher.models.tokens import length_sorted_batches, pad_batch, tokenise
from thresher.nlu.rows.bio import slots_of
from thresher.nlu.rows.table import Slot
from thresher.nlu.stack.encode import encode
from thresher.nlu.stack.joint import JointModel
from thresher.training.predict import EVALUATION_TOKENS, predict_logits

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Numbers = npt.NDArray[np.float64]


class Understood(NamedTuple):
    """The prediction of a joint model for one text; the slot confidence is the smallest of its words, 1 without words."""

    intent: int
    intent_confidence: float
    slots: tuple[Slot, ...]
    slot_confidence: float


def domain_probabilities(
    model: Classifier, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int
) -> Numbers:
    """P(domain | text), (N, domains)."""
    logits = predict_logits(model, tokenise([list(texts)], tokenizer, max_length))
    probabilities: Numbers = softmax(logits.astype(np.float64), axis=1)
    return probabilities


def understand(
    model: JointModel,
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    tags: Sequence[str],
    max_length: int,
) -> list[Understood]:
    """Intent and slots of every text, independent of the other texts."""
    encoded = encode(texts, tokenizer, max_length)
    found: list[Understood | None] = [None] * len(texts)
    training = model.training
    model.eval()
    with torch.no_grad():
        for rows in length_sorted_batches(encoded.tokens.lengths, EVALUATION_TOKENS):
            output = model(**pad_batch(encoded.tokens, rows))
            intents = torch.softmax(output["intent"].double(), 1).numpy()
            words = torch.softmax(output["tags"].double(), 2).numpy()
            for at, row in enumerate(rows):
                own = words[at, encoded.first[row]]  # (words, tags)
                named = [tags[best] for best in own.argmax(1)]
                slots = slots_of(encoded.spans[row][: len(named)], named, strict=False)
                intent = int(intents[at].argmax())
                sure = float(own.max(1).min()) if len(own) else 1.0
                found[row] = Understood(intent, float(intents[at, intent]), slots, sure)
    model.train(training)
    return [one for one in found if one is not None]
