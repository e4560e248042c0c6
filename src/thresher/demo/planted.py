"""Where the demo's planted label noise ended up: which scores put it among the hardest rows, and what pruning did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import polars as pl

from thresher.run import Run
from thresher.scores import column
from thresher.selection import select


def planted_ids(path: Path) -> list[str]:
    """The ids of the rows with a planted label."""
    return [json.loads(text)["id"] for text in path.read_text(encoding="utf-8").splitlines()]


def precision(scores: pl.DataFrame, about: Mapping[str, Any], planted: list[str]) -> pl.DataFrame:
    """How much of the planted noise stands among the hardest rows by each score.

    Of the n hardest rows by a score, n the number of planted ones, precision is the share that is planted; of n rows
    drawn at random that share is n / N on average.

    Parameters
    ----------
    scores
        the table of `scores.parquet`.
    about
        what `scores.json` says of each score.
    planted
        ids of the planted rows.

    Returns
    -------
    one line per score, best first: score, column, found (planted rows among the n hardest), precision, chance.

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


def planted_facts(run: Run, planted: list[str]) -> dict[str, Any]:
    """What became of the planted noise in a run.

    Returns
    -------
    {"rows", "planted", "column", "prune", "kept": {"easy", "hard", "random"}, "precision": {score: share}, "chance"}:
    `kept` is the number of planted rows that are left when that end of the column is pruned by cut-off, or, expected,
    when random rows are.
    """
    scores, chosen = run.scores(), run.require("select").facts
    about = run.require("score").facts["scores"]
    by, hard, prune = chosen["column"], chosen["hard"], chosen["prune"]

    def left(end: Literal["easy", "hard"]) -> int:
        kept = select(scores, by=by, hard=hard, prune=prune, end=end).filter("kept")
        return int(kept["id"].is_in(planted).sum())

    found = precision(scores, about, planted)
    return {
        "rows": scores.height,
        "planted": len(planted),
        "column": by,
        "prune": prune,
        "kept": {"easy": left("easy"), "hard": left("hard"), "random": (1 - prune) * len(planted)},
        "precision": dict(found.select("score", "precision").iter_rows()),
        "chance": len(planted) / scores.height,
    }


def planted_lines(facts: dict[str, Any]) -> list[str]:
    """`planted_facts` in sentences."""
    n, kept = facts["planted"], facts["kept"]
    shares = ", ".join(f"{score} {share:.0%}" for score, share in facts["precision"].items())
    return [
        f"Planted noise: {n:,} of {facts['rows']:,} rows carry a wrong label. Pruning {facts['prune']:.0%} by"
        f" {facts['column']} keeps {kept['easy']:,} of them from the easy end and {kept['hard']:,} from the hard end;"
        f" random pruning keeps {kept['random']:,.0f}.",
        f"Of the {n:,} hardest rows by each score, this share is planted: {shares} (chance {facts['chance']:.0%}).",
    ]
