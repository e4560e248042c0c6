"""Where the demo's planted label noise ended up: which scores put it among the hardest rows, and what pruning did."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

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


def planted_lines(run: Path, planted: list[str]) -> list[str]:
    """What became of the planted noise in a run, in sentences."""
    scores = pl.read_parquet(run / "scores.parquet")
    about = json.loads((run / "scores.json").read_text(encoding="utf-8"))["scores"]
    done = json.loads((run / "steps" / "select.json").read_text(encoding="utf-8"))
    chosen = json.loads((run / "selections" / f"{done['name']}.json").read_text(encoding="utf-8"))
    n, by, hard, prune = len(planted), chosen["column"], chosen["hard"], chosen["prune"]
    kept = {
        end: int(
            select(scores, by=by, hard=hard, prune=prune, end=end).filter("kept")["id"].is_in(planted).sum()
        )
        for end in ("easy", "hard")
    }
    table = precision(scores, about, planted)
    shares = ", ".join(f"{row['score']} {row['precision']:.0%}" for row in table.to_dicts())
    return [
        f"Planted noise: {n:,} of {scores.height:,} rows carry a wrong label. Pruning {prune:.0%} by {by}"
        f" keeps {kept['easy']:,} of them from the easy end and {kept['hard']:,} from the hard end"
        f" (random rows: {(1 - prune) * n:,.0f}).",
        f"Share of planted rows among the {n:,} hardest by each score: {shares} (chance {n / scores.height:.0%}).",
    ]
