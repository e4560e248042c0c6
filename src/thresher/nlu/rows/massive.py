"""The columns of MASSIVE on Hugging Face: utt, annot_utt, scenario, intent (`alarm_set` of scenario `alarm`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thresher.nlu.rows import brackets
from thresher.nlu.rows.table import Utterance

COLUMNS = {"annotated": ("annot_utt",), "scenario": ("scenario",), "intent": ("intent",)}
OPTIONAL = {"text": ("utt",), "id": ("id",), "source": ("source",)}


def own_intent(scenario: str, intent: str) -> str:
    """The intent without the scenario before it.

    >>> own_intent("alarm", "alarm_set"), own_intent("alarm", "set")
    ('set', 'set')
    """
    return intent.removeprefix(f"{scenario}_") or intent


def from_record(record: Mapping[str, Any]) -> Utterance:
    text, slots = brackets.with_text(record["annotated"], record.get("text"))
    domain = record["scenario"]
    intent = own_intent(domain, record["intent"])
    return Utterance(text, domain, intent, slots, record.get("source") or "", record.get("id"))


def to_record(row: Utterance) -> dict[str, object]:
    record = {"id": row.id, "utt": row.text, "annot_utt": brackets.write(row.text, row.slots)}
    return {**record, "scenario": row.domain, "intent": f"{row.domain}_{row.intent}", "source": row.source}
