"""Which sentence templates, and values of their lists, recognise nothing: hassil takes them without a word."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from thresher.wording import listed, shown

if TYPE_CHECKING:
    from hassil import Intents
    from hassil.expression import Expression, Sentence
    from hassil.intents import SlotList

    Lists = Mapping[str, SlotList]
    Rules = Mapping[str, Sentence]

TRIES = 8
EXAMPLES = 3


def template_problems(templates: Intents) -> list[str]:
    """A line for each kind of template that can answer nothing, or only what nobody says; empty where all is well.

    Every sentence is said up to 8 times, with its parts drawn at random, and is well where it recognises one of them; a value
    of a list with punctuation in it is said alone. A permutation that is one choice of an alternative, `(a;b|c)`, joins its words
    without a space.

    >>> from hassil import Intents
    >>> data = [{"sentences": ["what time is it?", "call {who}"]}]
    >>> lists = {"who": {"values": ["Dr. Who", "Bob"]}}
    >>> for line in template_problems(Intents.from_dict({"language": "en", "intents": {"a/b": {"data": data}}, "lists": lists})):
    ...     print(line)
    1 sentence can never be recognised: 'what time is it?' (a/b); hassil drops , . ? ! ; : from speech, and no context is given
    1 value can never be recognised: 'Dr. Who' ({who}); hassil drops , . ? ! ; : from speech, and no context is given
    """
    rng = random.Random(0)
    never: list[str] = []
    joined: list[str] = []
    values: list[str] = []
    for intent in templates.intents.values():
        for block in intent.data:
            rules = {**templates.expansion_rules, **block.expansion_rules}
            lists = {**templates.slot_lists, **block.slot_lists}
            for sentence in block.sentences:
                name = f"'{shown(sentence.text)}' ({shown(intent.name)})"
                if _joins_words(sentence.expression):
                    joined.append(name)
                alone = replace(block, sentence_texts=[sentence.text])
                one = replace(templates, intents={intent.name: replace(intent, data=[alone])})
                if not _answers(sentence.expression, one, lists, rules, rng):
                    never.append(name)
            values += _values(templates, block.slot_lists, rules, rng)
    values += _values(templates, templates.slot_lists, templates.expansion_rules, rng)
    why = "hassil drops , . ? ! ; : from speech, and no context is given"
    return [
        *_line("sentence", never, "can never be recognised", why),
        *_line("value", values, "can never be recognised", why),
        *_line("sentence", joined, "joins words without a space", "write ((a;b)|c) for (a;b|c)"),
    ]


def _line(noun: str, names: list[str], problem: str, remedy: str) -> Iterator[str]:
    if names:
        plural = "s" * (len(names) > 1)
        problem = problem.replace("joins", "join") if plural else problem
        yield f"{len(names):,} {noun}{plural} {problem}: {listed(names, EXAMPLES)}; {remedy}"


def _values(templates: Intents, lists: Lists, rules: Rules, rng: random.Random) -> Iterator[str]:
    """The values with punctuation that are not recognised when they are said alone."""
    from hassil.intents import Intent, IntentData, TextSlotList
    from hassil.util import PUNCTUATION_PATTERN

    for name, values in lists.items():
        for value in values.values if isinstance(values, TextSlotList) else ():
            text = str(getattr(value.text_in, "text", ""))
            if not re.search(PUNCTUATION_PATTERN, text):
                continue
            alone = {name: replace(values, values=[value])}
            intent = Intent("value", [IntentData([f"{{{name}}}"])])
            one = replace(templates, intents={"value": intent}, slot_lists=alone)
            if not _answers(value.text_in, one, alone, rules, rng):
                yield f"'{shown(text)}' ({{{shown(name)}}})"


def _answers(
    expression: Expression, templates: Intents, lists: Lists, rules: Rules, rng: random.Random
) -> bool:
    """Whether one of some sentences that an expression stands for is recognised."""
    from hassil import recognize

    tried = set()
    for _ in range(TRIES):
        text = " ".join(_said(expression, lists, rules, rng).split())
        if text not in tried and recognize(text, templates) is not None:
            return True
        tried.add(text)
    return False


def _said(expression: Expression, lists: Lists, rules: Rules, rng: random.Random) -> str:
    """One of the sentences that an expression stands for, drawn at random."""
    from hassil.expression import Alternative, Group, ListReference, RuleReference, TextChunk
    from hassil.intents import RangeSlotList, TextSlotList

    if isinstance(expression, TextChunk):
        return str(expression.original_text)
    if isinstance(expression, Alternative):
        return _said(rng.choice(expression.items), lists, rules, rng) if expression.items else ""
    if isinstance(expression, Group):
        return "".join(_said(item, lists, rules, rng) for item in expression.items)
    if isinstance(expression, RuleReference):
        return _said(rules[expression.rule_name].expression, lists, rules, rng)
    if isinstance(expression, ListReference):
        values = lists.get(expression.list_name)
        if isinstance(values, TextSlotList):
            return _said(rng.choice(values.values).text_in, lists, rules, rng) if values.values else ""
        if isinstance(values, RangeSlotList):
            return str(rng.choice(range(values.start, values.stop + 1, values.step)))
        return "something"
    return _said(expression.expression, lists, rules, rng)


def _joins_words(expression: Expression) -> bool:
    """Whether an expression has a permutation that hassil did not put between blanks."""
    from hassil.expression import Permutation

    items = getattr(expression, "items", ())
    bare = isinstance(expression, Permutation) and len(items) > 1 and not all(map(_padded, items))
    return bare or any(map(_joins_words, items))


def _padded(item: Expression) -> bool:
    parts = getattr(item, "items", [item])
    return bool(parts) and getattr(parts[0], "original_text", "") == " "
