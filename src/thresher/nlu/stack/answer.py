"""Answer texts: by a rule, or by the domain classifier and the joint model of the domain; each answer has its path."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl
from transformers import PreTrainedTokenizerBase

from thresher.errors import UserError
from thresher.models.classifier import Classifier
from thresher.models.tokens import tokenise
from thresher.nlu.rows.checked import squeezed
from thresher.nlu.rows.table import SLOTS, Labels
from thresher.nlu.stack.config import StackConfig
from thresher.nlu.stack.joint import JointModel
from thresher.nlu.stack.predict import domain_probabilities, understand
from thresher.nlu.stack.rules import Rules, by_rule
from thresher.nlu.stack.train import tags_for
from thresher.progress import say
from thresher.wording import shown

# A model with its tokenizer, or None if there is only one answer.
Domain = tuple[Classifier, PreTrainedTokenizerBase] | None
Joint = tuple[JointModel, PreTrainedTokenizerBase] | None
ANSWER = pl.Schema(
    {
        "text": pl.String(),
        "domain": pl.String(),
        "intent": pl.String(),
        "slots": SLOTS,
        "path": pl.String(),
        "domain_confidence": pl.Float64(),
        "intent_confidence": pl.Float64(),
        "slot_confidence": pl.Float64(),
        "likeliest": pl.String(),
    }
)


@dataclass(frozen=True)
class Stack:
    """A trained stack; `joint(name)` gives the model of a domain."""

    config: StackConfig
    labels: Labels
    domain: Domain
    joint: Callable[[str], Joint]
    rules: Rules = field(default_factory=Rules)


def answer(stack: Stack, texts: Sequence[str]) -> pl.DataFrame:
    """Domain, intent and slots of every text.

    Returns
    -------
    one row per text, in order: `text` (with single spaces; slots are character offsets in it), `domain`, `intent`, `slots`;
    `path`: `exact` or `template` (a rule), `models`, `no domain` or `no intent` (a confidence below its threshold; the label is
    then null); `domain_confidence` (the largest probability), `intent_confidence`, `slot_confidence` (the smallest of its
    words); all are 1 for rules. `likeliest` is the most probable domain, whatever the threshold.

    Raises
    ------
    UserError
        a text that is not valid Unicode, such as bytes of another encoding from a terminal.
    """
    for text in texts:
        if re.search("[\ud800-\udfff]", text):
            raise UserError(f"'{shown(text)}' is not valid Unicode (half a surrogate pair); correct the text")
    plain = [squeezed(text)[0] for text in texts]
    ruled = [by_rule(stack.rules, text) if stack.rules else None for text in plain]
    asked = [at for at, found in enumerate(ruled) if found is None]
    rows: list[dict[str, object]] = [{} for _ in plain]
    for at, found in enumerate(ruled):
        if found is not None:
            slots = [slot._asdict() for slot in found.slots]
            sure = {"domain_confidence": 1.0, "intent_confidence": 1.0, "slot_confidence": 1.0}
            named = {"domain": found.domain, "intent": found.intent, "slots": slots, "path": found.path}
            rows[at] = {**named, **sure, "likeliest": found.domain}
    for at, said in zip(asked, _by_models(stack, [plain[at] for at in asked]), strict=True):
        rows[at] = said
    columns = {name: [row.get(name) for row in rows] for name in ANSWER.names() if name != "text"}
    return pl.DataFrame({"text": plain, **columns}, schema=ANSWER)


def _by_models(stack: Stack, texts: list[str]) -> list[dict[str, object]]:
    if not texts:
        return []
    names = list(stack.labels.intents)
    length = stack.config.model.max_length
    model = stack.domain or stack.joint(names[0])
    if model is not None and (cut := int(tokenise([texts], model[1], length).truncated.sum())):
        say(f"nlu: {cut:,} of {len(texts):,} texts are longer than the model takes and are cut")
    probabilities = np.ones((len(texts), 1))
    if stack.domain is not None:
        probabilities = domain_probabilities(*stack.domain, texts, length)
    best = probabilities.argmax(1)
    rows: list[dict[str, object]] = [{} for _ in texts]
    for place in np.unique(best):
        name = names[place]
        own = np.flatnonzero(best == place)
        sure = probabilities[own, place]
        answering = own[sure >= stack.config.domain_threshold]
        for at in own:
            rows[at] = {
                "domain_confidence": float(probabilities[at, place]), "likeliest": name, "path": "no domain", "slots": [],
            }  # fmt: skip
        if len(answering):
            for at, said in zip(
                answering, _within(stack, name, [texts[at] for at in answering]), strict=True
            ):
                rows[at] |= said
    return rows


def _within(stack: Stack, domain: str, texts: list[str]) -> list[dict[str, object]]:
    intents = stack.labels.intents[domain]
    found = stack.joint(domain)
    if found is None:
        alone = {"domain": domain, "intent": intents[0], "slots": [], "path": "models"}
        return [{**alone, "intent_confidence": 1.0, "slot_confidence": 1.0} for _ in texts]
    tags = tags_for(stack.labels.slots[domain])
    rows: list[dict[str, object]] = []
    for said in understand(*found, texts, tags, stack.config.model.max_length):
        enough = said.intent_confidence >= stack.config.intent_threshold
        rows.append(
            {
                "domain": domain,
                "intent": intents[said.intent] if enough else None,
                "slots": [slot._asdict() for slot in said.slots] if enough else [],
                "path": "models" if enough else "no intent",
                "intent_confidence": said.intent_confidence,
                "slot_confidence": said.slot_confidence,
            }
        )
    return rows
