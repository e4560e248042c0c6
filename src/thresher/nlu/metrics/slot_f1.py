"""Slot F1, by seqeval."""

from __future__ import annotations

from typing import Any

import polars as pl

from thresher.errors import UserError
from thresher.nlu.metrics.counts import Parts, column
from thresher.nlu.rows.bio import tags_of
from thresher.nlu.rows.checked import words
from thresher.nlu.rows.table import utterances


def slot_f1(counted: pl.DataFrame) -> Parts:
    """Slot F1 = 2 right slots / (slots of the truth + predicted slots), over all rows; 0 to 1.

    A slot is right if its label and its words match. Equal to seqeval's micro average.

    >>> slot_f1(pl.DataFrame({"right_slots": [1, 0], "slots": [2, 0], "predicted_slots": [1, 1]})).value
    0.5
    """
    total = column(counted, "slots") + column(counted, "predicted_slots")
    return Parts(2 * column(counted, "right_slots"), total)


def slot_report(truth: pl.DataFrame, predicted: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Precision, recall, F1 and number of slots per label, and their averages, by seqeval.

    `truth`: annotated rows (`nlu.rows.SCHEMA`). `predicted`: `id, slots` of the same rows.

    Raises UserError: seqeval is not installed.

    >>> from thresher.nlu.rows import Slot, Utterance, as_table
    >>> rows = as_table([Utterance("at nine", "alarm", "set", (Slot(3, 7, "time"),), id="1")])
    >>> round(float(slot_report(rows, rows)["time"]["f1-score"]), 3)
    1.0
    """
    try:
        from seqeval.metrics import classification_report
    except ModuleNotFoundError as error:
        raise UserError('slot F1 per label needs seqeval; pip install "thresher[nlu]"') from error
    given = truth.select("id").join(
        predicted.select("id", "slots"), on="id", how="left", maintain_order="left"
    )
    swapped = truth.with_columns(given["slots"])
    tags = [[tags_of(words(row.text), row.slots) for row in utterances(table)] for table in (truth, swapped)]
    if not any(tag != "O" for rows in tags for row in rows for tag in row):
        return {}
    report: dict[str, Any] = classification_report(*tags, output_dict=True, zero_division=0)
    return report
