"""Annotated utterances: text, domain, intent, slots and source, as one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from thresher.rows.ids import content_ids

SLOTS = pl.List(pl.Struct({"start": pl.Int32, "end": pl.Int32, "label": pl.String}))
SCHEMA = pl.Schema(
    {
        "id": pl.String(),
        "text": pl.String(),
        "domain": pl.String(),
        "intent": pl.String(),
        "slots": SLOTS,
        "source": pl.String(),
        "rasa": pl.String(),
    }
)


class Slot(NamedTuple):
    """Characters [start, end) of the text, and what they stand for."""

    start: int
    end: int
    label: str


@dataclass(frozen=True)
class Utterance:
    """One annotated row; the text has single spaces and none at its ends.

    `rasa` is the example as its Rasa file has it, which holds more than the other fields.
    """

    text: str
    domain: str
    intent: str
    slots: tuple[Slot, ...] = ()
    source: str = ""
    id: str | None = None
    rasa: str = field(default="", compare=False)


class BadRow(ValueError):
    """What is wrong with one row; the reader adds where it stands."""


@dataclass(frozen=True)
class Labels:
    """The labels that training rows have: intents and slot labels of each domain."""

    intents: Mapping[str, tuple[str, ...]]
    slots: Mapping[str, tuple[str, ...]]


class Read(NamedTuple):
    """A table of the columns in `SCHEMA`, one line for every row that was passed over, and the rest of the file.

    `rest` is what a Rasa file has beside examples (synonyms, lookup tables, stories, responses); see `save_utterances`.
    """

    rows: pl.DataFrame
    skipped: list[str]
    rest: str = ""


def as_table(rows: Iterable[Utterance]) -> pl.DataFrame:
    """Utterances as a table; a row without an id, or with one that several rows have, gets one made from its content.

    >>> as_table([Utterance("stop", "music", "stop")])["slots"].to_list()
    [[]]
    """
    rows = list(rows)
    given = Counter(row.id for row in rows)
    made = content_ids(
        ((row.text,) for row in rows), (f"{row.domain} {row.intent} {row.slots}" for row in rows)
    )
    ids = [made[at] if row.id is None or given[row.id] > 1 else row.id for at, row in enumerate(rows)]
    columns = {
        "id": ids,
        "text": [row.text for row in rows],
        "domain": [row.domain for row in rows],
        "intent": [row.intent for row in rows],
        "slots": [[slot._asdict() for slot in row.slots] for row in rows],
        "source": [row.source for row in rows],
        "rasa": [row.rasa for row in rows],
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def utterances(table: pl.DataFrame) -> Iterator[Utterance]:
    """The rows of a table; the column `rasa` may be missing.

    >>> row = Utterance("at nine", "alarm", "set", (Slot(3, 7, "time"),), id="1")
    >>> list(utterances(as_table([row]))) == [row]
    True
    """
    names = [name for name in SCHEMA if name != "rasa" or name in table.columns]
    for row in table.select(names).iter_rows(named=True):
        slots = tuple(Slot(**slot) for slot in row.pop("slots"))
        yield Utterance(slots=slots, **row)


def labels_of(table: pl.DataFrame) -> Labels:
    """Intents and slot labels of every domain, each sorted.

    >>> labels_of(as_table([Utterance("stop", "music", "stop")])).intents
    {'music': ('stop',)}
    """
    intents: dict[str, set[str]] = {}
    slots: dict[str, set[str]] = {}
    for row in utterances(table):
        intents.setdefault(row.domain, set()).add(row.intent)
        slots.setdefault(row.domain, set()).update(slot.label for slot in row.slots)
    return Labels(
        {name: tuple(sorted(intents[name])) for name in sorted(intents)},
        {name: tuple(sorted(slots[name])) for name in sorted(intents)},
    )
