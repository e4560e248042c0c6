"""Synthetic rows by swapping slot values between training rows."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import replace

import polars as pl

from thresher.errors import UserError
from thresher.nlu.rows.table import Slot, Utterance, as_table, utterances
from thresher.rows import normalised

SOURCE = "synthetic"
_TRIES = 20


def swapped(rows: pl.DataFrame, count: int, seed: int = 0, but: Iterable[str] = ()) -> pl.DataFrame:
    """`count` new rows, each a training row with other slot values.

    A value comes from a slot of the same label in the same domain. Row and values are drawn at random with `seed`;
    a text that occurs in the rows or in `but` (the test texts), or was made before, is skipped. The id contains that of the
    original row, and the source is "synthetic".

    Raises
    ------
    UserError
        there are not enough different texts.

    >>> texts, slot = ("play jazz now", "play rock"), Slot(5, 9, "what")
    >>> rows = [Utterance(text, "music", "play", (slot,)) for text in texts]
    >>> swapped(as_table(rows), 2)["text"].sort().to_list()
    ['play jazz', 'play rock now']
    """
    rng = random.Random(seed)
    values: dict[tuple[str, str], list[str]] = {}
    for row in utterances(rows):
        for slot in row.slots:
            values.setdefault((row.domain, slot.label), []).append(row.text[slot.start : slot.end])
    sources = [row for row in utterances(rows) if row.slots]
    seen = {normalised(text) for text in (*rows["text"], *but)}
    made: list[Utterance] = []
    tries = 0
    while len(made) < count:
        tries += 1
        if not sources or tries > _TRIES * count:
            raise UserError(
                f"only {len(made)} of {count} synthetic rows can be made from these slots; ask for fewer"
            )
        row = rng.choice(sources)
        new = _filled(row, [rng.choice(values[row.domain, slot.label]) for slot in row.slots])
        if normalised(new.text) not in seen:
            seen.add(normalised(new.text))
            made.append(replace(new, id=f"{SOURCE}-{len(made)}-{row.id}", source=SOURCE))
    return as_table(made)


def _filled(row: Utterance, values: list[str]) -> Utterance:
    pieces, slots, at, length = [], [], 0, 0
    for slot, value in zip(row.slots, values, strict=True):
        before = row.text[at : slot.start]
        pieces += [before, value]
        start = length + len(before)
        length = start + len(value)
        slots.append(Slot(start, length, slot.label))
        at = slot.end
    return replace(row, text="".join([*pieces, row.text[at:]]), slots=tuple(slots))
