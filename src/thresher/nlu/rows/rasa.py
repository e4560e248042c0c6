"""Rasa's training data: YAML, intents `domain/intent`, entities `[nine am](time)` or `[nine am]{"entity": "time"}`.

Synonyms, look-up tables and regular expressions are passed over, as are the values that entities are normalised to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import yaml

from thresher.errors import UserError
from thresher.nlu.rows.table import BadRow, Parsed, Slot, Utterance, squeezed
from thresher.wording import shown

_ENTITY = re.compile(r"\[([^\[\]]*)\](?:\(([^()]*)\)|(\{[^{}]*\}))")


def parse(example: str) -> tuple[str, tuple[Slot, ...]]:
    """Text and slots of an example.

    Raises
    ------
    BadRow
        brackets that are no entity, or an entity without a name or a text.

    >>> parse('wake me at [nine am](time) or [10]{"entity": "time", "value": "22:00"}')[1]
    (Slot(start=11, end=18, label='time'), Slot(start=22, end=24, label='time'))
    """
    text, slots, at = "", [], 0
    for found in _ENTITY.finditer(example):
        text += _plain(example[at : found.start()])
        label = found[2] if found[3] is None else _name(found[3])
        # Rasa also takes [text](entity:value).
        label = label.partition(":")[0].strip()
        if not label or not found[1].strip():
            raise BadRow(f"'{shown(found[0])}' is not [text](entity)")
        slots.append(Slot(len(text), len(text) + len(found[1]), label))
        text += found[1]
        at = found.end()
    return squeezed(text + _plain(example[at:]), slots)


def _plain(piece: str) -> str:
    if "[" in piece or "]" in piece:
        raise BadRow(f"broken brackets in '{shown(piece)}': an entity is [text](entity)")
    return piece


def _name(described: str) -> str:
    try:
        return str(json.loads(described)["entity"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadRow(f"'{shown(described)}' is not {{\"entity\": NAME}}") from error


def write_example(text: str, slots: Iterable[Slot]) -> str:
    """The example.

    >>> write_example("wake me at nine am", [Slot(11, 18, "time")])
    'wake me at [nine am](time)'
    """
    if "[" in text or "]" in text:
        raise BadRow("a text with brackets of its own cannot be written for Rasa")
    pieces, at = [], 0
    for start, end, label in slots:
        pieces += [text[at:start], f"[{text[start:end]}]({label})"]
        at = end
    return "".join([*pieces, text[at:]])


def read(path: Path) -> Parsed:
    """The examples of a file, each with its line.

    Raises
    ------
    UserError
        broken YAML, or no list under `nlu`.
    """
    try:
        root = yaml.compose(path.read_text(encoding="utf-8-sig"), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: broken YAML: {' '.join(str(error).split())}") from error
    blocks = _get(root, "nlu")
    if not isinstance(blocks, yaml.SequenceNode):
        raise UserError(f"{path}: no list under 'nlu'; Rasa keeps its examples there")
    for block in blocks.value:
        intent, examples = _get(block, "intent"), _get(block, "examples")
        if intent is None:
            continue
        metadata = _get(block, "metadata")
        source = _text(_get(metadata, "source"))
        domain, slash, own = _text(intent).partition("/")
        named = (domain, own) if slash else ("", domain)
        for line, text in _examples(examples):
            yield f"{path} line {line}", partial(_row, text, named, source)


def _row(text: str, named: tuple[str, str], source: str) -> Utterance:
    if not named[0]:
        raise BadRow(f"intent '{shown(named[1])}' names no domain; write DOMAIN/INTENT")
    plain, slots = parse(text)
    return Utterance(plain, *named, slots, source)


def _get(node: Any, key: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _text(node: Any) -> str:
    """What stands in a node; nothing where it is a list or a mapping."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _examples(node: Any) -> Iterator[tuple[int, str]]:
    """Line and text of every example: of a block of `- text` lines, or of a list of mappings with `text`."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield item.start_mark.line + 1, _text(_get(item, "text") or item).strip().removeprefix("- ")
    elif isinstance(node, yaml.MappingNode):
        yield node.start_mark.line + 1, ""
    elif node is not None:
        # The text of a block begins on the line after its sign.
        first = node.start_mark.line + (2 if node.style in ("|", ">") else 1)
        for number, line in enumerate(str(node.value).split("\n"), first):
            if line.strip():
                yield number, line.strip().removeprefix("-").strip()


def write(rows: Iterable[Utterance]) -> str:
    """The rows as one file, grouped by domain, intent and source; Rasa has no place for ids."""

    def key(row: Utterance) -> tuple[str, str, str]:
        return row.domain, row.intent, row.source

    lines = ['version: "3.1"', "nlu:"]
    for (domain, intent, source), group in groupby(sorted(rows, key=key), key=key):
        if "/" in domain:
            raise BadRow(
                f"domain '{shown(domain)}' has a '/', which divides domain and intent in Rasa's files"
            )
        lines.append(f"- intent: {json.dumps(f'{domain}/{intent}', ensure_ascii=False)}")
        if source:
            lines += ["  metadata:", f"    source: {json.dumps(source, ensure_ascii=False)}"]
        lines.append("  examples: |")
        lines += [f"    - {write_example(row.text, row.slots)}" for row in group]
    return "\n".join(lines) + "\n"
