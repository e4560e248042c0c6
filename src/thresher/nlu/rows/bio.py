"""Between character slots and one BIO tag per word; between words and the text they stand in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from thresher.nlu.rows.table import BadRow, Slot
from thresher.wording import shown

OUTSIDE = "O"
Spans = Sequence[tuple[int, int]]


def tags_of(spans: Spans, slots: Iterable[Slot]) -> list[str]:
    """One tag per word: B-label for the first word of a slot, I-label for the others, O outside.

    >>> tags_of([(0, 2), (3, 7), (8, 10)], [Slot(3, 10, "time")])
    ['O', 'B-time', 'I-time']
    """
    tags = [OUTSIDE] * len(spans)
    for slot in slots:
        inside = [at for at, (start, end) in enumerate(spans) if start >= slot.start and end <= slot.end]
        for at in inside:
            tags[at] = f"{'B' if at == inside[0] else 'I'}-{slot.label}"
    return tags


def slots_of(spans: Spans, tags: Sequence[str], strict: bool = True) -> tuple[Slot, ...]:
    """The slots that tags mean.

    An I-label that continues no slot of its label is refused; with `strict=False`, for what a model predicted, it begins one.

    Raises BadRow: a tag of another form, or an I-label that continues nothing.

    >>> slots_of([(0, 2), (3, 7), (8, 10)], ["O", "B-time", "I-time"])
    (Slot(start=3, end=10, label='time'),)
    """
    slots: list[Slot] = []
    open_label = ""
    for (start, end), tag in zip(spans, tags, strict=True):
        prefix, _, label = tag.partition("-")
        if tag == OUTSIDE:
            open_label = ""
            continue
        if prefix not in ("B", "I") or not label:
            raise BadRow(f"tag '{shown(tag)}' is not O, B-label or I-label")
        if prefix == "I" and label == open_label:
            slots[-1] = Slot(slots[-1].start, end, label)
        elif prefix == "I" and strict:
            raise BadRow(f"tag '{shown(tag)}' continues no slot")
        else:
            slots.append(Slot(start, end, label))
        open_label = label
    return tuple(slots)


def spans_in(text: str, tokens: Sequence[str]) -> list[tuple[int, int]]:
    """Where tokens stand in a text, in order; the two may differ in case, as in SLURP.

    Raises BadRow: the tokens, spaces apart, are not the text.

    >>> spans_in("bob, hi", ["Bob", ",", "hi"])
    [(0, 3), (3, 4), (5, 7)]
    """
    spans, at = [], 0
    for token in tokens:
        start = at + len(text[at:]) - len(text[at:].lstrip())
        if not token or text[start : start + len(token)].casefold() != token.casefold():
            raise BadRow(f"token '{shown(token)}' does not stand in the text where it should: not aligned")
        at = start + len(token)
        spans.append((start, at))
    if text[at:].strip():
        raise BadRow(f"no token for '{shown(text[at:].strip())}': text and tokens are not aligned")
    return spans
