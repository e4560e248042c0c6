"""Which annotated rows are well formed, and what is said of those that are not."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import replace

from thresher.errors import UserError
from thresher.nlu.rows.table import BadRow, Labels, Read, Slot, Utterance, as_table
from thresher.wording import did_you_mean, listed, shown

# Runs of letters and digits, and every other sign alone; scripts without spaces go sign by sign: Thai and Lao, Burmese, Khmer,
# Japanese, Chinese.
_ALONE = r"\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_ALONE}]|[^\W{_ALONE}]+|[^\w\s]")
_LABEL = re.compile(r"[^\s\[\]{}()|:\"',\\]+")
Parsed = Iterable[tuple[str, Callable[[], Utterance]]]


def words(text: str) -> list[tuple[int, int]]:
    """The words of a text as character spans: runs of letters and digits, every other sign alone.

    Chinese and Japanese signs are words of their own, as in BERT's tokenisers.

    >>> text = "mail bob's boss, 9am"
    >>> [text[start:end] for start, end in words(text)]
    ['mail', 'bob', "'", 's', 'boss', ',', '9am']
    """
    return [found.span() for found in _WORD.finditer(text)]


def squeezed(text: str, slots: Iterable[Slot] = ()) -> tuple[str, tuple[Slot, ...]]:
    """A text with single spaces and none at its ends, and its slots where they are now.

    >>> squeezed("  at  nine  am ", [Slot(6, 14, "time")])
    ('at nine am', (Slot(start=3, end=10, label='time'),))
    """
    place, out, pending = [0] * (len(text) + 1), 0, False
    pieces: list[str] = []
    for at, sign in enumerate(text):
        if sign.isspace():
            pending = bool(pieces)
            place[at] = out
            continue
        if pending:
            pieces.append(" ")
            out += 1
            pending = False
        place[at] = out
        pieces.append(sign)
        out += 1
    moved = []
    for start, end, label in slots:
        inner = text[start:end]
        left, right = len(inner) - len(inner.lstrip()), len(inner.rstrip())
        if not inner.strip():
            raise BadRow(f"slot '{shown(label)}' holds no text")
        moved.append(Slot(place[start + left], place[start + right - 1] + 1, label))
    return "".join(pieces), tuple(moved)


def checked(row: Utterance, known: Labels | None = None) -> Utterance:
    """The row with squeezed text and sorted slots.

    Raises BadRow: no text, domain or intent; control characters or half a sign (a lone surrogate) anywhere; a slot outside the
    text, overlapping another, or whose ends are not the ends of words; a label of signs that no format can hold, or one that is
    not known.
    """
    text, moved = squeezed(row.text, row.slots)
    given = [("text", text), ("domain", row.domain), ("intent", row.intent)]
    for name, value in given:
        if not value:
            raise BadRow(f"no {name}" + ("; --domain NAME gives rows one" if name == "domain" else ""))
    labels = [("slot label", slot.label) for slot in moved]
    for name, value in [*given, ("source", row.source), ("id", row.id or ""), *labels]:
        if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in value):
            raise BadRow(f"the {name} holds a control character")
    starts = {start for start, _ in words(text)}
    ends = {end for _, end in words(text)}
    slots = tuple(sorted(moved))
    last = Slot(0, 0, "")
    for slot in slots:
        name = f"slot '{shown(slot.label)}' (\"{shown(text[slot.start : slot.end])}\")"
        if not _LABEL.fullmatch(slot.label):
            raise BadRow(
                f"slot label '{shown(slot.label)}': labels have no white space, brackets, quotes, : or |"
            )
        if not 0 <= slot.start < slot.end <= len(text):
            raise BadRow(f"{name}: characters {slot.start} to {slot.end} are outside the text")
        if slot.start < last.end:
            raise BadRow(f"{name} overlaps slot '{shown(last.label)}'")
        if slot.start not in starts or slot.end not in ends:
            raise BadRow(f"{name} does not begin and end with a word: tokens and slots are not aligned")
        last = slot
    if known is not None:
        _check_known(row.domain, row.intent, slots, known)
    return replace(row, text=text, slots=slots)


def _check_known(domain: str, intent: str, slots: tuple[Slot, ...], known: Labels) -> None:
    if domain not in known.intents:
        raise BadRow(f"unknown domain '{shown(domain)}'{did_you_mean(domain, known.intents)}")
    if intent not in known.intents[domain]:
        near = did_you_mean(intent, known.intents[domain])
        raise BadRow(f"unknown intent '{shown(intent)}' of domain '{shown(domain)}'{near}")
    for slot in slots:
        if slot.label not in known.slots[domain]:
            near = did_you_mean(slot.label, known.slots[domain])
            raise BadRow(f"unknown slot label '{shown(slot.label)}' of domain '{shown(domain)}'{near}")


def collect(
    parsed: Parsed,
    *,
    skip_bad: bool = False,
    known: Labels | None = None,
    domain: str | None = None,
    name: str = "",
) -> Read:
    """Rows from (place, function that parses the row there); the first bad one is refused, or all are passed over.

    `domain` is that of rows which name none.

    Raises UserError: a bad row, with its place; or no row at all.
    """
    good: list[Utterance] = []
    skipped: list[str] = []
    for place, parse in parsed:
        try:
            row = parse()
            good.append(checked(replace(row, domain=row.domain or domain or ""), known))
        except BadRow as error:
            if not skip_bad:
                raise UserError(
                    f"{place}: {error}; mend the row, or pass over such rows with --skip-bad"
                ) from error
            skipped.append(f"{place}: {error}")
    if not good:
        raise UserError(f"{name or 'the source'}: no rows in it" + (f" ({skipped[0]})" if skipped else ""))
    return Read(as_table(good), skipped)


def skipped_line(skipped: list[str]) -> str:
    """What was passed over, in one line.

    >>> skipped_line(["a.jsonl line 3: no intent"])
    '1 row passed over: a.jsonl line 3: no intent'
    """
    rows = "row" if len(skipped) == 1 else "rows"
    return f"{len(skipped):,} {rows} passed over: {listed(skipped, 2)}"
