"""Report what happened to the planted label noise: what suspects list, which scores rank it as hardest, what is kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import polars as pl

from thresher.run import Run, parquet
from thresher.run.layout import SUSPECTS
from thresher.scores import column
from thresher.selection import select

BEST = 5  # scores that are named


class PlantedFacts(TypedDict):
    """What `planted_facts` returns, JSON-able."""

    rows: int
    planted: int
    kept: int  # planted rows among the kept ones
    expected: float  # among as many random ones, on average
    suspects: int  # rows in the list of suspects
    found: int  # planted rows in it
    precision: dict[str, float]  # by score
    chance: float


def planted_ids(path: Path) -> list[str]:
    """The ids of the rows with a wrong label."""
    return [json.loads(text)["id"] for text in path.read_text(encoding="utf-8").splitlines()]


def precision(scores: pl.DataFrame, about: Iterable[str], planted: list[str]) -> pl.DataFrame:
    """The share of planted rows among the hardest rows of each score.

    Precision is the share of planted rows among the n hardest rows of N, with n the number of planted rows. For random
    rows it is n / N on average (`chance`).

    `scores`: the table of `scores.parquet`. `about`: the names of the scores, such as the keys of `scores.json`. `planted`: ids
    of the planted rows.

    Returns one row per score, best first: score, column, found (planted rows among the n hardest), precision, chance.

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
    """What the scores, the selection and the list of suspects of a run did with the planted noise."""
    scores, chosen = run.scores(), run.require("select").facts
    kept = parquet.read(run.selection_file(chosen["name"])).filter("kept")["id"]
    listed = pl.read_csv(run / SUSPECTS, columns=["id"], schema_overrides={"id": pl.String})["id"]
    found = precision(scores, run.require("score").facts["scores"], planted)
    return {
        "rows": scores.height,
        "planted": len(planted),
        "kept": int(kept.is_in(planted).sum()),
        "expected": len(kept) / scores.height * len(planted),
        "suspects": len(listed),
        "found": int(listed.is_in(planted).sum()),
        "precision": dict(found.select("score", "precision").iter_rows()),
        "chance": len(planted) / scores.height,
    }


def planted_lines(facts: PlantedFacts) -> list[str]:
    n = facts["planted"]
    shares = ", ".join(f"{score} {share:.0%}" for score, share in list(facts["precision"].items())[:BEST])
    return [
        f"Planted noise: {n:,} of {facts['rows']:,} rows have a wrong label. The list of suspects has {facts['suspects']:,} rows,"
        f" and {facts['found']:,} of them are planted. The kept rows have {facts['kept']:,} of the planted ones; as many random"
        f" rows would have {facts['expected']:,.0f}.",
        f"Share of wrong labels among the {n:,} hardest rows of the {BEST} best scores: {shares} (chance {facts['chance']:.0%}).",
    ]
