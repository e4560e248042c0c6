"""Bracket annotation, `wake me at [time : nine am]`, in a column `annotated` beside domain and intent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thresher.nlu.rows.checked import squeezed
from thresher.nlu.rows.table import BadRow, Slot, Utterance
from thresher.wording import shown

COLUMNS = {
    "annotated": ("annotated",),
    "domain": ("domain",),
    "intent": ("intent",),
}
OPTIONAL = {"text": ("utterance", "text"), "id": ("id",), "source": ("source",)}


def parse(annotated: str) -> tuple[str, tuple[Slot, ...]]:
    """Text and slots of an annotated text.

    Raises BadRow: a bracket that is never closed or opened, one inside another, without a colon, or without a label or a value.

    >>> parse("wake me at [time : nine am]")
    ('wake me at nine am', (Slot(start=11, end=18, label='time'),))
    """
    text, slots, at = "", [], 0
    while at < len(annotated):
        opened = annotated.find("[", at)
        piece = annotated[at:] if opened < 0 else annotated[at:opened]
        if "]" in piece:
            raise BadRow(f"']' at character {at + piece.index(']') + 1} closes no bracket")
        text += piece
        if opened < 0:
            break
        closed = annotated.find("]", opened)
        inner = annotated[opened + 1 : closed]
        if closed < 0:
            raise BadRow(f"the bracket opened at character {opened + 1} is never closed")
        if "[" in inner:
            raise BadRow(f"a bracket inside the bracket opened at character {opened + 1}: slots overlap")
        label, colon, value = inner.partition(":")
        if not colon or not label.strip() or not value.strip():
            raise BadRow(f"'[{shown(inner)}]' is not [label : value]")
        start = len(text)
        text += value.strip()
        slots.append(Slot(start, len(text), label.strip()))
        at = closed + 1
    return squeezed(text, slots)


def write(text: str, slots: tuple[Slot, ...]) -> str:
    """The annotated text.

    Raises BadRow: the text holds a bracket of its own.

    >>> write("wake me at nine am", (Slot(11, 18, "time"),))
    'wake me at [time : nine am]'
    """
    if "[" in text or "]" in text:
        raise BadRow("a text with brackets of its own cannot be written in bracket annotation")
    pieces, at = [], 0
    for start, end, label in slots:
        pieces += [text[at:start], f"[{label} : {text[start:end]}]"]
        at = end
    return "".join([*pieces, text[at:]])


def with_text(annotated: str, text: Any) -> tuple[str, tuple[Slot, ...]]:
    """Text and slots where the plain text is given, too; the two may differ in case and in white space.

    MASSIVE puts spaces around Chinese and Japanese slots that the plain text does not have.

    Raises BadRow: they differ in more.

    >>> with_text("check [app : Outlook]", "check outlook")
    ('check outlook', (Slot(start=6, end=13, label='app'),))
    >>> with_text("[time : 九点] 提醒我", "九点提醒我")
    ('九点提醒我', (Slot(start=0, end=2, label='time'),))
    """
    found, slots = parse(annotated)
    if text is None:
        return found, slots
    plain, _ = squeezed(str(text))
    there, here = _signs(plain), _signs(found)
    if "".join(plain[at].lower() for at in there) != "".join(found[at].lower() for at in here):
        raise BadRow(f"the annotation reads '{shown(found)}' and the text '{shown(plain)}': not aligned")
    place = dict(zip(here, there, strict=True))
    return plain, tuple(Slot(place[start], place[end - 1] + 1, label) for start, end, label in slots)


def _signs(text: str) -> list[int]:
    """The positions of the characters that are not white space."""
    return [at for at, sign in enumerate(text) if not sign.isspace()]


def from_record(record: Mapping[str, Any]) -> Utterance:
    text, slots = with_text(record["annotated"], record.get("text"))
    return Utterance(
        text, record["domain"], record["intent"], slots, record.get("source") or "", record.get("id")
    )


def to_record(row: Utterance) -> dict[str, object]:
    record = {"id": row.id, "utterance": row.text, "annotated": write(row.text, row.slots)}
    return {**record, "domain": row.domain, "intent": row.intent, "source": row.source}
