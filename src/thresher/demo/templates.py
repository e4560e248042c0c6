"""Read Home Assistant's English sentence templates, and draw random sentences from them.

A template such as ``<turn> on [<the>] {name} <in> [<the>] {area}`` stands for up to billions of sentences, which hassil's
`sample_expression` would enumerate in order. So a template is first reduced to one random path through its alternatives,
and hassil expands only that path.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hassil.expression import Alternative, ListReference, Permutation, RuleReference, Sequence, TextChunk
from hassil.intents import Intents
from hassil.numbers import get_rbnf_engine
from hassil.sample import sample_expression
from home_assistant_intents import get_intent_info, get_intents

from thresher.demo.slots import LIGHTS_WITHOUT_THE_WORD, NAMES, NUMBERS, WORDS

Expression = Any  # a node of hassil's parse tree


@dataclass(frozen=True)
class Template:
    """A sentence template of an intent, with the possible domains of its device."""

    intent: str
    text: str
    expression: Expression
    domains: tuple[str, ...]


@dataclass(frozen=True)
class Command:
    """One sentence, and what it is about."""

    text: str
    wording: str  # the text with every slot blanked
    domain: str
    annotated: str  # the text with every slot in brackets, `[name : kitchen lights]`


def read_templates() -> tuple[list[Template], Intents]:
    """All templates of the installed `home-assistant-intents`, and the lists and rules that they use.

    The domain is that of the block of templates or of its device if given, else that of the intent. Home Assistant files
    timers under its core domain; here their domain is `timer`.

    >>> templates, _ = read_templates()
    >>> next(t for t in templates if t.intent == "HassFanSetSpeed").domains
    ('fan',)
    """
    intents = Intents.from_dict(get_intents("en"))
    information = get_intent_info()
    found: dict[tuple[str, str], Template] = {}
    for intent in intents.intents.values():
        own = "timer" if "Timer" in intent.name else information[intent.name]["domain"]
        for block in intent.data:
            asked = block.slots.get("domain") or block.requires_context.get("domain") or own
            domains = (asked,) if isinstance(asked, str) else tuple(asked)
            for sentence in block.sentences:
                # Covers and valves share some templates; these have both domains.
                before = found.get((intent.name, sentence.text))
                domains = tuple(dict.fromkeys((*(before.domains if before else ()), *domains)))
                template = Template(intent.name, sentence.text, sentence.expression, domains)
                found[intent.name, sentence.text] = template
    return list(found.values()), intents


def draw(template: Template, intents: Intents, rng: random.Random) -> Command:
    """One random sentence of a template.

    Alternatives have weight 1 / rank, because templates list the usual wording first. An optional part is included half of
    the time. Names, rooms and numbers are uniform; numbers are in digits or in words, and in digits before % and °.

    >>> templates, intents = read_templates()
    >>> template = next(t for t in templates if t.text == "<timer_cancel> all [[of ](the|my)] timers")
    >>> draw(template, intents, random.Random(1))
    Command(text='cancel all timers', wording='cancel all timers', domain='timer', annotated='cancel all timers')
    """
    domain = rng.choice(template.domains)
    short = "{name} <light>" in template.text
    names = LIGHTS_WITHOUT_THE_WORD if short else NAMES.get(domain, ())
    path = list(_path(template.expression, intents, rng))
    wording = re.sub(r"{\w+}", "_", _write(path))
    spelled = rng.random() < 0.5 and not set(wording) & {"%", "°"}
    words = [
        _fill(part, names, spelled, intents, rng) if isinstance(part, ListReference) else part
        for part in path
    ]
    marked = [
        TextChunk(f"[{part.slot_name} : {_write([word])}]") if isinstance(part, ListReference) else word
        for part, word in zip(path, words, strict=True)
    ]
    return Command(_write(words), wording, domain, _write(marked))


def _path(expression: Expression, intents: Intents, rng: random.Random) -> Iterator[Expression]:
    """A random path through an expression: its text chunks and list references in order."""
    match expression:
        case Alternative(items=items, is_optional=optional):
            last = len(items) - 1  # the last alternative of an optional part is to omit it
            if not optional or rng.random() < 0.5:
                choices = items[:last] if optional else items
                weights = [1 / rank for rank in range(1, len(choices) + 1)]
                yield from _path(rng.choices(choices, weights)[0], intents, rng)
        case Permutation(items=items):
            for item in rng.sample(items, len(items)):
                yield from _path(item, intents, rng)
        case Sequence(items=items):
            for item in items:
                yield from _path(item, intents, rng)
        case RuleReference(rule_name=name):
            yield from _path(intents.expansion_rules[name].expression, intents, rng)
        case _:
            yield expression


def _fill(
    slot: Expression, names: tuple[str, ...], spelled: bool, intents: Intents, rng: random.Random
) -> Expression:
    """A value for a slot as text; numbers are in words if `spelled`."""
    name = slot.list_name
    if name == "name":
        return TextChunk(rng.choice(names))
    if name in WORDS:
        return TextChunk(rng.choice(WORDS[name]))
    if name in NUMBERS:
        number = rng.choice(NUMBERS[name])
        return TextChunk(get_rbnf_engine("en").format_number(number).text if spelled else str(number))
    value = rng.choice(intents.slot_lists[name].values)
    return Sequence(items=list(_path(value.text_in, intents, rng)))


def _write(parts: list[Expression]) -> str:
    """The sentence of a path; an open slot is written as the name of its list, `{area}`."""
    (text,) = sample_expression(Sequence(items=parts), expand_lists=False)
    return str(text).strip()
