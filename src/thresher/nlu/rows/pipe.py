"""The pipe form, `play music by howard|Artist shore|Artist please`, in a column `piped` beside domain and intent.

Source: Anand et al., EMNLP 2023, appendix C.6 (slot-label trails).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from thresher.nlu.rows.bio import spans_in, tags_of
from thresher.nlu.rows.checked import squeezed, words
from thresher.nlu.rows.table import BadRow, Slot, Utterance
from thresher.wording import shown

COLUMNS = {"piped": ("piped",), "domain": ("domain",), "intent": ("intent",)}
OPTIONAL = {"text": ("utterance", "text"), "id": ("id",), "source": ("source",)}
OTHER = "Other"
_TOKEN = re.compile(r"((?:[^\\|]|\\.)+)(?:\|(.*))?")


def parse(piped: str, text: str | None = None) -> tuple[str, tuple[Slot, ...]]:
    r"""Text and slots; neighbouring words of one label are one slot, `word|Other` is a word alone, `\|` a pipe.

    Raises BadRow: a pipe without a word or a label, or tokens that do not stand in the text that is given beside.

    >>> parse("play howard|Artist shore|Artist please|Other")
    ('play howard shore please', (Slot(start=5, end=17, label='Artist'),))
    """
    tokens, labels = [], []
    for piece in piped.split():
        found = _TOKEN.fullmatch(piece)
        if not found or found[2] == "":
            raise BadRow(f"'{shown(piece)}' is not word or word|label")
        tokens.append(re.sub(r"\\(.)", r"\1", found[1]))
        labels.append("" if found[2] in (None, OTHER) else found[2])
    if text is None:
        text = " ".join(tokens)
    text, _ = squeezed(text)
    slots: list[Slot] = []
    before = ""
    for (start, end), label in zip(spans_in(text, tokens), labels, strict=True):
        if label and label == before:
            slots[-1] = Slot(slots[-1].start, end, label)
        elif label:
            slots.append(Slot(start, end, label))
        before = label
    return text, tuple(slots)


def write(text: str, slots: tuple[Slot, ...]) -> str:
    """The text in pipe form.

    Raises BadRow: two neighbouring slots of one label, which the form cannot tell from one, or a label called Other.

    >>> write("play howard shore please", (Slot(5, 17, "Artist"),))
    'play howard|Artist shore|Artist please'
    """
    spans = words(text)
    pieces, before = [], ""
    for (start, end), tag in zip(spans, tags_of(spans, slots), strict=True):
        label = tag.partition("-")[2]
        if label == OTHER or (tag.startswith("B-") and label == before):
            raise BadRow(f"slot '{shown(label)}': the pipe form cannot tell it from what stands before it")
        word = re.sub(r"([\\|])", r"\\\1", text[start:end])
        pieces.append(f"{word}|{label}" if label else word)
        before = label
    return " ".join(pieces)


def from_record(record: Mapping[str, Any]) -> Utterance:
    text, slots = parse(record["piped"], record.get("text"))
    return Utterance(
        text, record["domain"], record["intent"], slots, record.get("source") or "", record.get("id")
    )


def to_record(row: Utterance) -> dict[str, object]:
    record = {"id": row.id, "utterance": row.text, "piped": write(row.text, row.slots)}
    return {**record, "domain": row.domain, "intent": row.intent, "source": row.source}
