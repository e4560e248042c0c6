"""Rasa's training data: YAML with intents and examples, entities `[nine am](time)` or `[nine am]{"entity": "time"}`.

Roles, groups, values and metadata have no place in a row; `Utterance.rasa` keeps the example as it stands, and it is written
back like that (`rasa_write`). Synonyms, lookup tables, regular expressions and the other keys of a file (stories, responses)
are its `rest`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from thresher.errors import UserError
from thresher.nlu.rows.checked import Parsed, squeezed
from thresher.nlu.rows.table import BadRow, Slot, Utterance
from thresher.progress import warn
from thresher.rows.read.raw import content
from thresher.rows.read.sheet import utf8, without_mark
from thresher.wording import listed, shown

DEFAULT_DOMAIN = "default"
_ENTITY = re.compile(r"\[([^\[\]]*)\](?:\(([^()]*)\)|(\{[^{}]*\}))")
PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_/.+-]*")
_BROKEN = re.compile(r"\[[^\[\]]*\][({\[]")
VERSION = re.compile(r"^version\s*:.*\n", re.MULTILINE)


def parse(example: str) -> tuple[str, tuple[Slot, ...]]:
    """Text and slots of an example. Brackets that begin no entity are text, as for Rasa.

    Raises BadRow: an entity that is never closed, or one without a name or a text.

    >>> parse('wake me at [nine am](time) or [10]{"entity": "time", "value": "22:00"}')[1]
    (Slot(start=11, end=18, label='time'), Slot(start=22, end=24, label='time'))
    >>> parse("press [enter] now")
    ('press [enter] now', ())
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
    if _BROKEN.search(piece):
        raise BadRow(f"broken brackets in '{shown(piece)}': an entity is [text](entity)")
    return piece


def _name(described: str) -> str:
    try:
        return str(json.loads(described)["entity"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadRow(f"'{shown(described)}' is not {{\"entity\": NAME}}") from error


def has_examples(path: Path) -> bool:
    """Whether a YAML file has the key `nlu`, told without parsing it."""
    return re.search(rb"^nlu\s*:", content(path.read_bytes(), str(path)), re.MULTILINE) is not None


def read(paths: Iterable[Path], domain: str | None = None) -> tuple[Parsed, str]:
    """The examples of some files, each with its line, and the rest of them, as YAML: blocks of `nlu`, then other keys.

    Without `domain`, an intent `domain/intent` names one, and others are of `DEFAULT_DOMAIN`; with it, all are of that one.

    Raises UserError: broken YAML, no list under `nlu`, or two of them.
    """
    parsed: list[tuple[str, Any]] = []
    rest, keys = "", dict[str, str]()
    for path in paths:
        text, root = _root(path)
        blocks = _get(root, "nlu")
        if isinstance(root, yaml.MappingNode) and [key.value for key, _ in root.value].count("nlu") > 1:
            raise UserError(f"{path}: has the key 'nlu' twice; put all examples under one")
        if not isinstance(blocks, yaml.SequenceNode):
            raise UserError(f"{path}: no list under 'nlu'; Rasa keeps its examples there")
        found = {str(key.value): _as_key(text, key, value) for key, value in root.value if key.value != "nlu"}
        if twice := [name for name in found if name != "version" and name in keys]:
            warn(
                f"{path}: an earlier file has {listed(twice)} too; what this one says there is not written back"
            )
        keys |= {name: lines for name, lines in found.items() if name not in keys}
        for block in blocks.value:
            if _get(block, "intent") is None:
                rest += _as_item(text, block)
            else:
                parsed += [(f"{path} line {line}", row) for line, row in _rows(block, path, domain)]
    return parsed, rest + "".join(keys.values())


def _root(path: Path) -> tuple[str, Any]:
    _, body = without_mark(content(path.read_bytes(), str(path)), str(path))
    text = "".join(utf8(line, str(path), number) for number, line in enumerate(body.splitlines(True), 1))
    try:
        return text, yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise UserError(f"{path}: broken YAML: {' '.join(str(error).split())}") from error


def _as_item(text: str, block: Any) -> str:
    """A block of the list under `nlu` as it stands, moved to the left."""
    start, column = block.start_mark.index, block.start_mark.column
    first, *others = text[start : block.end_mark.index].rstrip().split("\n")
    margin = re.compile(f" {{0,{column}}}")
    return (
        "\n".join([f"- {first}", *(f"  {margin.sub('', line, count=1)}".rstrip() for line in others)]) + "\n"
    )


def _as_key(text: str, key: Any, value: Any) -> str:
    """A key of the file and what it holds, as they stand."""
    return text[key.start_mark.index : value.end_mark.index].rstrip() + "\n"


def _rows(block: Any, path: Path, domain: str | None) -> Iterator[tuple[int, Any]]:
    named = _text(_get(block, "intent"))
    own, slash, intent = named.partition("/")
    if domain is not None or not slash:
        own, intent = domain or DEFAULT_DOMAIN, named
    metadata = _value(_get(block, "metadata"))
    source = metadata.get("source") if isinstance(metadata, dict) else None
    for line, text, about in _examples(_get(block, "examples"), path):
        kept = {"intent": named, "example": " ".join(text.split()), "metadata": metadata, "about": about}
        written = json.dumps({key: one for key, one in kept.items() if one}, ensure_ascii=False, default=str)
        yield line, partial(_row, text, (own, intent), source if isinstance(source, str) else "", written)


def _row(text: str, named: tuple[str, str], source: str, written: str) -> Utterance:
    plain, slots = parse(text)
    return Utterance(plain, *named, slots, source, rasa=written)


def _get(node: Any, key: str) -> Any:
    if not isinstance(node, yaml.MappingNode):
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _text(node: Any) -> str:
    """What stands in a node; nothing where it is a list or a mapping."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _value(node: Any) -> Any:
    """The value of a node; None where there is none, or YAML has no value for it."""
    if node is None:
        return None
    try:
        return yaml.SafeLoader("").construct_object(node, deep=True)
    except yaml.YAMLError:
        return None


def _examples(node: Any, path: Path) -> Iterator[tuple[int, str, Any]]:
    """Line, text and metadata of every example: of a block of `- text` lines, or of a list of mappings with `text`."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            text = _text(_get(item, "text") or item).strip().removeprefix("- ")
            yield item.start_mark.line + 1, text, _value(_get(item, "metadata"))
    elif isinstance(node, yaml.MappingNode):
        yield node.start_mark.line + 1, "", None
    elif node is not None:
        # The text of a block begins on the line after its sign.
        block = node.style in ("|", ">")
        for number, line in enumerate(str(node.value).split("\n"), node.start_mark.line + 1 + block):
            text = line.strip()
            if text.startswith("-") or (text and not block):
                yield number, text.removeprefix("-").strip(), None
            elif text and not text.startswith("#"):
                warn(f"{path} line {number}: '{shown(text)}' has no dash before it, so it is no example")
