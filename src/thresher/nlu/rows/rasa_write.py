"""Annotated rows as a Rasa file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import yaml

from thresher.nlu.rows.rasa import PLAIN, VERSION, parse
from thresher.nlu.rows.table import BadRow, Slot, Utterance
from thresher.wording import shown


def write_example(text: str, slots: Iterable[Slot]) -> str:
    """The example.

    >>> write_example("wake me at nine am", [Slot(11, 18, "time")])
    'wake me at [nine am](time)'
    """
    pieces, at, slots = [], 0, tuple(slots)
    for start, end, label in slots:
        pieces += [text[at:start], f"[{text[start:end]}]({label})"]
        at = end
    example = "".join([*pieces, text[at:]])
    if parse(example) != (text, slots):
        raise BadRow(f"'{shown(text)}' has brackets that Rasa would read as an entity")
    return example


def write(rows: Iterable[Utterance], rest: str = "") -> str:
    """The rows as one file, grouped by intent and metadata, and the rest; Rasa has no place for ids."""
    groups: dict[tuple[str, str], list[tuple[str, Any]]] = {}
    for row in rows:
        intent, metadata, *example = _as_it_stood(row)
        groups.setdefault((intent, _json(metadata)), []).append((example[0], example[1]))
    version = VERSION.search(rest)
    lines = [version[0].rstrip() if version else 'version: "3.1"', "nlu:"]
    for (intent, metadata), examples in groups.items():
        lines.append(f"- intent: {_scalar(intent)}")
        lines += [] if metadata == "null" else [f"  metadata: {metadata}"]
        if any(about for _, about in examples):
            lines.append("  examples:")
            for text, about in examples:
                lines.append(f"  - text: {_json(text)}")
                lines += [f"    metadata: {_json(about)}"] if about else []
        else:
            lines += ["  examples: |", *(f"    - {text}" for text, _ in examples)]
    return "\n".join(lines) + "\n" + VERSION.sub("", rest)


def _scalar(text: str) -> str:
    """A text as YAML, without quotes where it needs none."""
    return text if PLAIN.fullmatch(text) and yaml.safe_load(text) == text else _json(text)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _as_it_stood(row: Utterance) -> tuple[str, Any, str, Any]:
    """Intent, its metadata, example and its metadata: as in the file that the row came from, where they are still the row's."""
    kept: Any = {}
    try:
        kept = json.loads(row.rasa or "{}")
        same = parse(kept.get("example", "")) == (row.text, row.slots)
    except (ValueError, AttributeError, TypeError, BadRow):
        kept, same = {}, False
    intent = kept.get("intent")
    if intent not in (row.intent, f"{row.domain}/{row.intent}"):
        if "/" in row.domain:
            raise BadRow(
                f"domain '{shown(row.domain)}' has a '/', which divides domain and intent in Rasa's files"
            )
        intent = f"{row.domain}/{row.intent}"
    metadata = kept.get("metadata")
    if row.source != (metadata.get("source", "") if isinstance(metadata, dict) else ""):
        metadata = {**(metadata if isinstance(metadata, dict) else {}), "source": row.source}
    if same:
        return intent, metadata, kept["example"], kept.get("about")
    return intent, metadata, write_example(row.text, row.slots), None
