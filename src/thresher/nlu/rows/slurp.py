"""The columns of SLURP: sentence, tokens with entities by token number, scenario and action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thresher.nlu.rows.bio import spans_in
from thresher.nlu.rows.checked import squeezed, words
from thresher.nlu.rows.massive import own_intent
from thresher.nlu.rows.table import BadRow, Slot, Utterance
from thresher.wording import shown

COLUMNS = {"text": ("sentence",), "tokens": ("tokens",), "entities": ("entities",), "scenario": ("scenario",)}
OPTIONAL = {"action": ("action",), "intent": ("intent",), "id": ("slurp_id", "id"), "source": ("source",)}
LISTS = ("tokens", "entities")


def from_record(record: Mapping[str, Any]) -> Utterance:
    """One row.

    Raises BadRow: tokens that do not stand in the sentence, or an entity whose tokens are not there, or not side by side.
    """
    text, _ = squeezed(record["text"])
    tokens = [token if isinstance(token, str) else _part(token, "surface", str) for token in record["tokens"]]
    spans = spans_in(text, tokens)
    slots = []
    for entity in record["entities"]:
        at, label = _part(entity, "span", list), _part(entity, "type", str)
        if (
            not at
            or not all(isinstance(number, int) for number in at)
            or at != list(range(at[0], at[0] + len(at)))
            or not 0 <= at[0] <= at[-1] < len(spans)
        ):
            raise BadRow(f"entity '{shown(label)}': tokens {shown(at)} are not in the sentence side by side")
        slots.append(Slot(spans[at[0]][0], spans[at[-1]][1], label))
    domain = record["scenario"]
    intent = record.get("action") or own_intent(domain, record.get("intent") or "")
    return Utterance(text, domain, intent, tuple(slots), record.get("source") or "", record.get("id"))


def _part(record: Any, name: str, kind: type) -> Any:
    found = record.get(name) if isinstance(record, Mapping) else None
    if not isinstance(found, kind):
        raise BadRow(f"'{shown(record)}' has no '{name}' ({'text' if kind is str else 'a list of numbers'})")
    return found


def to_record(row: Utterance) -> dict[str, object]:
    spans = words(row.text)
    tokens = [{"surface": row.text[start:end], "id": at} for at, (start, end) in enumerate(spans)]
    entities = [
        {
            "span": [at for at, (start, end) in enumerate(spans) if slot.start <= start and end <= slot.end],
            "type": slot.label,
        }
        for slot in row.slots
    ]
    names = {"scenario": row.domain, "action": row.intent, "intent": f"{row.domain}_{row.intent}"}
    return {
        "slurp_id": row.id,
        "sentence": row.text,
        "tokens": tokens,
        "entities": entities,
        **names,
        "source": row.source,
    }
