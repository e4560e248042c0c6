"""Completions on the page, with their tokens coloured by loss."""

from __future__ import annotations

from collections.abc import Collection
from itertools import groupby
from typing import TypedDict

import polars as pl

from thresher.run import Run, parquet
from thresher.run.integrity import table_problem

# A token of at least so many nats gets the next colour.
LEVELS = (1.0, 2.0, 4.0)


class TokenLosses(TypedDict):
    """Per token of a completion: its loss, that without the prompt, and where it ends in the text."""

    loss: list[float]
    loss_alone: list[float]
    end: list[int | None]


class Piece(TypedDict):
    """A part of a completion, and what is told of it."""

    text: str
    level: int
    title: str


def losses_of(run: Run, ids: Collection[str]) -> dict[str, TokenLosses]:
    """The losses of the tokens of some rows, by id: loss, loss_alone and end; empty where there are none."""
    file = run.token_losses_file
    if table_problem(file):
        return {}
    found = parquet.scan([file]).filter(pl.col("id").is_in(list(ids))).collect()
    return {
        row["id"]: {"loss": row["loss"], "loss_alone": row["loss_alone"], "end": row["end"]}
        for row in found.iter_rows(named=True)
    }


def pieces(completion: str, losses: TokenLosses) -> list[Piece]:
    """A completion in pieces: its text, a level from 0 to 3, and what is told of the token; neighbours of level 0 are one piece.

    >>> losses = {"loss": [0.2, 0.1, 5.0, 2.5], "loss_alone": [3.0, 0.1, 1.0, 2.0], "end": [3, 6, 9, 9]}
    >>> [(piece["text"], piece["level"]) for piece in pieces("set alarm", losses)]
    [('set al', 0), ('arm', 3), ('(end)', 2)]
    """
    ends = [end for end in losses["end"] if end is not None]
    if len(ends) < len(losses["end"]):
        return []
    tokens: list[Piece] = [
        {
            "text": completion[start:end] if end > start or place + 1 < len(ends) else "(end)",
            "level": sum(loss >= least for least in LEVELS),
            "title": f"{loss:.2f} nats; {alone:.2f} without the prompt",
        }
        for place, (start, end, loss, alone) in enumerate(
            zip([0, *ends[:-1]], ends, losses["loss"], losses["loss_alone"], strict=True)
        )
    ]
    if not tokens[-1]["level"] and tokens[-1]["text"] == "(end)":
        tokens.pop()
    found: list[Piece] = []
    for plain, group in groupby(tokens, lambda token: token["level"] == 0):
        merged = list(group)
        if plain:
            merged = [{"text": "".join(token["text"] for token in merged), "level": 0, "title": ""}]
        found += merged
    return found
