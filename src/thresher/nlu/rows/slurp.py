"""The columns of SLURP: sentence, tokens with entities by token number, scenario and action."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thresher.nlu.rows.bio import spans_in
from thresher.nlu.rows.massive import own_intent
from thresher.nlu.rows.table import BadRow, Slot, Utterance, squeezed, words
from thresher.wording import shown

COLUMNS = {"text": ("sentence",), "tokens": ("tokens",), "entities": ("entities",), "scenario": ("scenario",)}
OPTIONAL = {"action": ("action",), "intent": ("intent",), "id": ("slurp_id", "id"), "source": ("source",)}


def from_record(record: Mapping[str, Any]) -> Utterance:
    """One row.

    Raises
    ------
    BadRow
        tokens that do not stand in the sentence, or an entity whose tokens are not there, or not side by side.
    """
    text, _ = squeezed(record["text"])
    spans = spans_in(
        text, [token if isinstance(token, str) else token["surface"] for token in record["tokens"]]
    )
    slots = []
    for entity in record["entities"] or ():
        at = list(entity["span"])
        if not at or at != list(range(at[0], at[0] + len(at))) or not 0 <= at[0] <= at[-1] < len(spans):
            raise BadRow(
                f"entity '{shown(entity['type'])}': tokens {shown(at)} are not in the sentence side by side"
            )
        slots.append(Slot(spans[at[0]][0], spans[at[-1]][1], entity["type"]))
    domain = record["scenario"]
    intent = record.get("action") or own_intent(domain, record.get("intent") or "")
    return Utterance(text, domain, intent, tuple(slots), record.get("source") or "", record.get("id"))


def to_record(row: Utterance) -> dict[str, Any]:
    """The row as it is written."""
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
