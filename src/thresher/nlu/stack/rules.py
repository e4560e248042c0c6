"""What answers before any model: exact utterances, and sentence templates by hassil."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import polars as pl
import yaml

from thresher.errors import UserError
from thresher.nlu.rows.table import Slot, squeezed, utterances, words
from thresher.rows import normalised
from thresher.wording import shown


@dataclass(frozen=True)
class Found:
    """A rule's answer, and which kind of rule gave it."""

    domain: str
    intent: str
    slots: tuple[Slot, ...]
    path: Literal["exact", "template"]


@dataclass(frozen=True)
class Rules:
    """Exact utterances by their normalised text, with the length that their slots were counted in; parsed templates."""

    exact: dict[str, tuple[Found, int]] = field(default_factory=dict)
    templates: Any = None

    def __bool__(self) -> bool:
        return bool(self.exact) or self.templates is not None


def read_rules(exact: pl.DataFrame | None = None, templates: Path | None = None) -> Rules:
    """Rules from annotated rows and from a file of templates.

    Parameters
    ----------
    exact
        annotated rows: each answers its own text, whatever its case.
    templates
        YAML as Home Assistant writes it: `intents: {DOMAIN/INTENT: {data: [{sentences: [...]}]}}`, `lists`, `expansion_rules`;
        `{name}` in a sentence becomes the slot `name`.

    Raises
    ------
    UserError
        a text with two answers, or templates that cannot be read or name no domain.
    """
    known: dict[str, tuple[Found, int]] = {}
    for row in utterances(exact) if exact is not None else ():
        found = (Found(row.domain, row.intent, row.slots, "exact"), len(row.text))
        if known.setdefault(normalised(row.text), found) != found:
            raise UserError(f"exact utterance '{shown(row.text)}' has two answers; keep one")
    return Rules(known, None if templates is None else _read_templates(templates))


def _read_templates(path: Path) -> Any:
    try:
        from hassil import Intents
    except ModuleNotFoundError as error:
        raise UserError('templates need hassil; pip install "thresher[nlu]"') from error
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        intents = Intents.from_dict({"language": "en", **content})
        # Sentences are parsed when they are first needed.
        for intent in intents.intents.values():
            for block in intent.data:
                list(block.sentences)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except Exception as error:
        raise UserError(f"{path}: not sentence templates ({shown(error, 120)})") from error
    for name in map(str, intents.intents):
        if "/" not in name:
            raise UserError(f"{path}: intent '{shown(name)}' names no domain; write DOMAIN/INTENT")
    return intents


def by_rule(rules: Rules, text: str) -> Found | None:
    """The answer of a rule: an exact utterance before a template; None where none fits.

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


def _by_template(templates: Any, text: str) -> Found | None:
    from hassil import recognize_best

    result = recognize_best(text, templates)
    if result is None:
        return None
    slots = _placed(text, ((entity.name, entity.text_clean) for entity in result.entities_list))
    domain, _, intent = result.intent.name.partition("/")
    return None if slots is None else Found(domain, intent, slots, "template")


def _placed(text: str, entities: Iterable[tuple[str, str]]) -> tuple[Slot, ...] | None:
    """Where the texts of entities stand in a text: in order, each behind the last; None where one cannot be found.

    >>> _placed("Lights on in the kitchen, please", [("area", "kitchen")])
    (Slot(start=17, end=24, label='area'),)
    """
    spans = words(text)
    spoken = [text[start:end].casefold() for start, end in spans]
    slots: list[Slot] = []
    at = 0
    for name, value in entities:
        wanted = [value[start:end].casefold() for start, end in words(value)]
        found = next(
            (
                i
                for i in range(at, len(spans) - len(wanted) + 1)
                if wanted and spoken[i : i + len(wanted)] == wanted
            ),
            None,
        )
        if found is None:
            return None
        at = found + len(wanted)
        slots.append(Slot(spans[found][0], spans[at - 1][1], name))
    return tuple(slots)
