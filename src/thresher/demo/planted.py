"""Report what happened to the planted label noise: which scores rank it as hardest, and how much of it pruning drops."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TypedDict

import polars as pl

from thresher.run import Run
from thresher.scores import column
from thresher.selection import select


class Kept(TypedDict):
    """Planted rows that are kept when the easy, the hard or (expected) random rows are dropped by cut-off."""

    easy: int
    hard: int
    random: float


class PlantedFacts(TypedDict):
    """What `planted_facts` returns, JSON-able."""

    rows: int
    planted: int
    column: str  # the score column of the selection
    prune: float
    kept: Kept
    precision: dict[str, float]  # by score
    chance: float


def planted_ids(path: Path) -> list[str]:
    """The ids of the rows with a wrong label."""
    return [json.loads(text)["id"] for text in path.read_text(encoding="utf-8").splitlines()]


def precision(scores: pl.DataFrame, about: Iterable[str], planted: list[str]) -> pl.DataFrame:
    """The share of planted rows among the hardest rows of each score.

    Precision is the share of planted rows among the n hardest rows of N, with n the number of planted rows. For random
    rows it is n / N on average (`chance`).

    Parameters
    ----------
    scores
        the table of `scores.parquet`.
    about
        the names of the scores, such as the keys of `scores.json`.
    planted
        ids of the planted rows.

    Returns
    -------
    one row per score, best first: score, column, found (planted rows among the n hardest), precision, chance.

    >>> scores = pl.DataFrame({"id": ["a", "b", "c", "d"], "el2n": [0.1, 0.9, 0.2, 0.3]})
    >>> precision(scores, {"el2n": {}}, ["b"]).rows()
    [('el2n', 'el2n', 1, 1.0, 0.25)]
    """
    n, total = len(planted), scores.height
    found = []
    for name in about:
        by, hard = column(name, "auto", scores.columns)
        hardest = select(scores, by=by, hard=hard, prune=1 - n / total, end="easy").filter("kept")["id"]
        hits = int(hardest.is_in(planted).sum())
        found.append((name, by, hits, hits / n, n / total))
    names = ["score", "column", "found", "precision", "chance"]
    return pl.DataFrame(found, schema=names, orient="row").sort(
        "precision", descending=True, maintain_order=True
    )


def planted_facts(run: Run, planted: list[str]) -> PlantedFacts:
    """What the scores and the selection of a run did with the planted noise."""
    scores, chosen = run.scores(), run.require("select").facts
    about = run.require("score").facts["scores"]
    by, hard, prune = chosen["column"], chosen["hard"], chosen["prune"]

    def kept(end: Literal["easy", "hard"]) -> int:
        rows = select(scores, by=by, hard=hard, prune=prune, end=end).filter("kept")
        return int(rows["id"].is_in(planted).sum())

    found = precision(scores, about, planted)
    return {
        "rows": scores.height,
        "planted": len(planted),
        "column": by,
        "prune": prune,
        "kept": {"easy": kept("easy"), "hard": kept("hard"), "random": (1 - prune) * len(planted)},
        "precision": dict(found.select("score", "precision").iter_rows()),
        "chance": len(planted) / scores.height,
    }


def planted_lines(facts: PlantedFacts) -> list[str]:
    """`planted_facts` as sentences."""
    n, kept = facts["planted"], facts["kept"]
    shares = ", ".join(f"{score} {share:.0%}" for score, share in facts["precision"].items())
    return [
        f"Planted noise: {n:,} of {facts['rows']:,} rows have a wrong label. Pruning {facts['prune']:.0%} by"
        f" {facts['column']} keeps {kept['easy']:,} of them when easy rows are dropped, {kept['hard']:,} when hard rows are"
        f" dropped and {kept['random']:,.0f} when random rows are dropped.",
        f"Share of wrong labels among the {n:,} hardest rows of each score: {shares} (chance {facts['chance']:.0%}).",
    ]
