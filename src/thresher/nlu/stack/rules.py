"""The rules that answer before any model: exact utterances, and sentence templates by hassil."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl
import yaml

from thresher.errors import UserError
from thresher.nlu.rows.checked import squeezed, words
from thresher.nlu.rows.table import Slot, utterances
from thresher.rows import normalised
from thresher.wording import shown

if TYPE_CHECKING:
    from hassil import Intents
    from hassil.expression import Expression


@dataclass(frozen=True)
class Found:
    """The answer of a rule, and the kind of rule."""

    domain: str
    intent: str
    slots: tuple[Slot, ...]
    path: Literal["exact", "template"]


@dataclass(frozen=True)
class Rules:
    """Exact utterances by their normalised text, with the length of the text that their slots index; parsed templates."""

    exact: dict[str, tuple[Found, int]] = field(default_factory=dict)
    templates: Intents | None = None

    def __bool__(self) -> bool:
        return bool(self.exact) or self.templates is not None


def read_rules(exact: pl.DataFrame | None = None, templates: Path | None = None) -> Rules:
    """Rules from annotated rows and from a file of templates.

    `exact`: annotated rows; each answers its own text, ignoring case. `templates`: YAML in Home Assistant's format: `intents:
    {DOMAIN/INTENT: {data: [{sentences: [...]}]}}`, `lists`, `expansion_rules`; `{name}` in a sentence becomes the slot `name`.

    Raises UserError: a text with two answers, or templates that cannot be read or name no domain.
    """
    known: dict[str, tuple[Found, int]] = {}
    for row in utterances(exact) if exact is not None else ():
        found = (Found(row.domain, row.intent, row.slots, "exact"), len(row.text))
        if known.setdefault(normalised(row.text), found) != found:
            raise UserError(f"exact utterance '{shown(row.text)}' has two answers; keep one")
    return Rules(known, None if templates is None else _read_templates(templates))


def _read_templates(path: Path) -> Intents:
    try:
        from hassil import Intents
    except ModuleNotFoundError as error:
        raise UserError('templates need hassil; pip install "thresher[nlu]"') from error
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        intents = Intents.from_dict({"language": "en", **content})
        # hassil parses sentences lazily, so this finds syntax errors now.
        for intent in intents.intents.values():
            for block in intent.data:
                list(block.sentences)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:
        raise UserError(f"{path}: not sentence templates ({shown(error, 120)})") from error
    for name, intent in intents.intents.items():
        if "/" not in str(name):
            raise UserError(f"{path}: intent '{shown(name)}' names no domain; write DOMAIN/INTENT")
        for block in intent.data:
            rules = {**intents.expansion_rules, **block.expansion_rules}
            lists = {*intents.slot_lists, *block.slot_lists, *block.wildcard_list_names}
            for sentence in block.sentences:
                for part in _rules_in(sentence.expression):
                    if part not in rules:
                        raise UserError(
                            f"{path}: intent '{shown(name)}' uses <{shown(part)}>, which is not defined under expansion_rules"
                        )
                for part in sentence.expression.list_names(rules):
                    if part not in lists:
                        raise UserError(
                            f"{path}: intent '{shown(name)}' uses {{{shown(part)}}}, which is not defined under lists"
                        )
    return intents


def _rules_in(expression: Expression) -> Iterator[str]:
    """The names of the expansion rules that an expression refers to."""
    if hasattr(expression, "rule_name"):
        yield expression.rule_name
    for item in getattr(expression, "items", ()):
        yield from _rules_in(item)


def by_rule(rules: Rules, text: str) -> Found | None:
    """The answer of a rule, exact utterances before templates; None if none matches.

    >>> from thresher.nlu.rows import Utterance, as_table
    >>> rules = read_rules(as_table([Utterance("stop", "music", "stop")]))
    >>> by_rule(rules, " Stop "), by_rule(rules, "go")
    (Found(domain='music', intent='stop', slots=(), path='exact'), None)
    """
    plain, _ = squeezed(text)
    known = rules.exact.get(normalised(plain))
    if known is not None and (not known[0].slots or len(plain) == known[1]):
        return known[0]
    return None if rules.templates is None else _by_template(rules.templates, plain)


def _by_template(templates: Intents, text: str) -> Found | None:
    from hassil import recognize_best
    from hassil.errors import MissingListError, MissingRuleError

    try:
        result = recognize_best(text, templates)
    except (MissingListError, MissingRuleError) as error:
        raise UserError(
            f"the stack's templates refer to a missing list or rule ({shown(error, 120)})"
        ) from error
    if result is None:
        return None
    slots = _placed(text, ((entity.name, entity.text_clean) for entity in result.entities_list))
    domain, _, intent = result.intent.name.partition("/")
    return None if slots is None else Found(domain, intent, slots, "template")


def _placed(text: str, entities: Iterable[tuple[str, str]]) -> tuple[Slot, ...] | None:
    """Locate the texts of entities in a text, in order; None if the position is missing or ambiguous.

    >>> _placed("Lights on in the kitchen, please", [("area", "kitchen")])
    (Slot(start=17, end=24, label='area'),)
    >>> _placed("play play", [("song", "play")])  # ambiguous
    """
    spans, named = words(text), list(entities)
    spoken = [text[start:end].casefold() for start, end in spans]
    wanted = [tuple(value[start:end].casefold() for start, end in words(value)) for _, value in named]

    def places(entity: int, at: int) -> Iterator[list[int]]:
        if entity == len(wanted):
            yield []
            return
        width = len(wanted[entity])
        for first in range(at, len(spans) - width + 1):
            if width and tuple(spoken[first : first + width]) == wanted[entity]:
                yield from ([first, *rest] for rest in places(entity + 1, first + width))

    found = list(islice(places(0, 0), 2))
    if len(found) != 1:
        return None
    return tuple(
        Slot(spans[first][0], spans[first + len(own) - 1][1], name)
        for first, own, (name, _) in zip(found[0], wanted, named, strict=True)
    )
