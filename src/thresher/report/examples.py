"""The rows at either end of each score."""

from __future__ import annotations

import hashlib
from typing import Any, TypedDict

import numpy as np
import polars as pl

from thresher.facts.scores import ScoreFacts
from thresher.report.format import count, score_value
from thresher.report.read import RunFiles, Selection
from thresher.report.tokens import Piece, losses_of, pieces
from thresher.run import Run

SHOWN = 10
MOST_CHARACTERS = 12_000  # of one text on the page
CLAMP = 280  # characters, longer texts are collapsed


class Text(TypedDict):
    """One text of a row, with its tokens where their losses are known."""

    column: str
    text: str
    tokens: list[Piece]
    more: str | None
    long: bool


class Row(TypedDict):
    """A row on the page."""

    id: str
    value: str
    label: str
    groups: list[tuple[str, str]]
    texts: list[Text]
    kept: bool | None


class End(TypedDict):
    """The rows at one end of a score."""

    end: str
    direction: str
    ties: str | None
    rows: list[Row]


class Ends(TypedDict):
    """Both ends of a score."""

    name: str
    column: str
    hard: str
    ends: list[End]


def examples(files: RunFiles, selection: Selection | None) -> list[Ends]:
    """Per score, the ten hardest and the ten easiest rows by the column that it selects by.

    Rows of equal score are ordered by a hash of their id, so that the rows shown are not simply the first in the file.
    """
    if files.scores is None:
        return []
    data = files.manifest.config.data
    table = files.scores.select("id", "label", *_score_columns(files))
    if files.rows is not None:
        texts = files.rows.select(
            "id",
            *(pl.col(name).alias(f"text:{name}") for name in data.text if name in files.rows.columns),
            *(pl.col(name).alias(f"group:{name}") for name in data.groups if name in files.rows.columns),
        )
        table = table.join(texts, on="id", how="left", maintain_order="left")
    if selection is not None:
        table = table.join(selection.table.select("id", "kept"), on="id", how="left", maintain_order="left")
    hashes = [hashlib.blake2b(str(one).encode(), digest_size=8).digest() for one in table["id"].to_list()]
    tie = np.argsort(np.argsort(np.array(hashes, dtype="S8"), kind="stable"), kind="stable")
    table = table.with_columns(pl.Series("tie:", tie))
    found = [
        _ends(table, name, facts) for name, facts in files.about["scores"].items() if name in table.columns
    ]
    if files.manifest.task == "text":
        for row in rows_of(found):
            row["label"] = ""  # the same for all
        with_tokens(found, files.run)
    return found


def with_tokens(found: list[Ends], run: Run) -> None:
    """Give the completions of the hardest rows their tokens, coloured by loss."""
    hardest = rows_of(found, ("hard",))
    losses = losses_of(run, {row["id"] for row in hardest})
    for row in hardest:
        completion = row["texts"][-1] if row["texts"] else None
        if completion and not completion["more"] and row["id"] in losses:
            completion["tokens"] = pieces(completion["text"], losses[row["id"]])


def rows_of(found: list[Ends], ends: tuple[str, ...] = ("hard", "easy")) -> list[Row]:
    """The rows at these ends of all scores."""
    return [row for score in found for end in score["ends"] if end["end"] in ends for row in end["rows"]]


def default_column(name: str, facts: ScoreFacts) -> str:
    """The column that a score selects by.

    >>> default_column("vog", {"normalise": "class"}), default_column("pvi", {"normalise": "raw"})
    ('vog_class', 'pvi')
    """
    form = facts.get("normalise", "raw")
    return name if form == "raw" else f"{name}_{form}"


def _score_columns(files: RunFiles) -> list[str]:
    present = files.scores.columns if files.scores is not None else []
    wanted = [
        one for name, facts in files.about["scores"].items() for one in (name, default_column(name, facts))
    ]
    return [name for name in dict.fromkeys(wanted) if name in present]


def _ends(table: pl.DataFrame, name: str, facts: ScoreFacts) -> Ends:
    column = default_column(name, facts)
    column = column if column in table.columns else name
    hard_is_high = facts["hard"] == "high"
    ends: list[End] = []
    for end in ("hard", "easy"):
        highest_first = (end == "hard") == hard_is_high
        found = table.sort(column, "tie:", descending=[highest_first, False]).head(SHOWN)
        edge = found[column][-1]
        tied = int((table[column] == edge).sum())
        shown = int((found[column] == edge).sum())
        more = tied - shown
        ends.append(
            {
                "end": end,
                "direction": "highest" if highest_first else "lowest",
                "ties": f"{count(tied, 'row')} share the value {score_value(edge)}; {shown} of them are shown."
                if more
                else None,
                "rows": [_row(row, column) for row in found.iter_rows(named=True)],
            }
        )
    return {"name": name, "column": column, "hard": facts["hard"], "ends": ends}


def _row(row: dict[str, Any], column: str) -> Row:
    return {
        "id": str(row["id"]),
        "value": score_value(row[column]),
        "label": str(row["label"]),
        "groups": [(key[6:], str(value)) for key, value in row.items() if key.startswith("group:")],
        "texts": [_text(key[5:], str(value)) for key, value in row.items() if key.startswith("text:")],
        "kept": row.get("kept"),
    }


def _text(column: str, text: str) -> Text:
    more = len(text) - MOST_CHARACTERS
    return {
        "column": column,
        "text": text[:MOST_CHARACTERS],
        "tokens": [],
        "more": f"{count(more, 'character')} more in the run folder" if more > 0 else None,
        "long": len(text) > CLAMP or text.count("\n") > 4,
    }
