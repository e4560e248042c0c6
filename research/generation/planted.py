"""Bad completions that are found: `python -m research.generation.planted MODEL OUT [--draw 0]`.

Completions of command parses (source `parse` of the data set `sft`) are swapped among 5% of the rows, and cut in half in another
5%. A run on them is trained once, with LoRA on the whole model, and every score's precision at the planted number is written to
planted.json: the share of planted rows among as many rows from its hard end. Finished runs are reused."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import thresher as th
from research.places import DATA
from thresher.config import DataConfig, RunConfig
from thresher.experiments.suspects_texts import misfit
from thresher.row_hash import hash_ids
from thresher.scores import scores as known

SHARE, SEED, WORDS = 0.05, 7, 4
LAST = "loss of the last checkpoint"
FIGURES = Path(__file__).with_suffix(".json")
Row = dict[str, str]


def planted(number: int, draw: int = 0) -> tuple[list[Row], dict[str, str]]:
    """So many of the command parses, drawn at random, with bad completions among them, and what is wrong with each, by id.

    Draw 0 are the first of the shuffled parses, draw 1 the next, ...
    """
    lines = (DATA / "sft" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows: list[Row] = [row for row in map(json.loads, lines) if row["source"] == "parse"]
    rng = random.Random(SEED)
    rng.shuffle(rows)
    rows, order = rows[draw * number : (draw + 1) * number], list(range(number))
    rng.shuffle(order)
    count = round(SHARE * number)
    swapped = order[:count]
    cut = [row for row in order[count:] if len(rows[row]["completion"].split()) >= WORDS][:count]
    wrong: dict[str, str] = {}
    others = [rows[row]["completion"] for row in swapped]
    for row, other in zip(swapped, others[1:] + others[:1], strict=True):
        if other != rows[row]["completion"]:
            rows[row] = {**rows[row], "completion": other}
            wrong[rows[row]["id"]] = "swapped"
    for row in cut:
        words = rows[row]["completion"].split()
        rows[row] = {**rows[row], "completion": " ".join(words[: len(words) // 2])}
        wrong[rows[row]["id"]] = "truncated"
    return rows, wrong


def trained(rows: list[Row], model: str, out: Path) -> pl.DataFrame:
    """The scores of a run on the rows, and the loss by its last checkpoint, whose exponential is the perplexity."""
    source = out / "planted.jsonl"
    out.mkdir(parents=True, exist_ok=True)
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    data = DataConfig(train=str(source), task="generate", id="id")
    config = RunConfig(data=data, generate={"template": "plain", "lr": 5e-4})  # type: ignore[arg-type]
    given = th.load_texts(source, id="id")
    recipe: dict[str, Any] = {"epochs": 2, "batch_size": 8, "max_length": 256}
    done = th.run(given, out=out / "RUN", config=config, model=model, hold_out=0, prune=0.3, **recipe)
    last = pl.read_parquet(done.run.token_losses_file).select("id", pl.col("loss").list.mean().alias(LAST))
    return th.score(done.run).join(last, on="id", how="left", maintain_order="left")


def precision(scores: pl.DataFrame, values: np.ndarray, wrong: dict[str, str], kind: str | None) -> float:
    """The share of planted rows among as many rows with the largest values; `kind`: with those of another kind left out."""
    ids = scores["id"].to_list()
    among = np.array([kind is None or wrong.get(one, kind) == kind for one in ids])
    bad = np.array([one in wrong for one in ids])[among]
    order = np.lexsort((hash_ids(scores["id"])[among], -values[among]))
    return float(bad[order[: bad.sum()]].mean())


def orders(scores: pl.DataFrame) -> dict[str, np.ndarray]:
    """Every score with its hard end up, loss beyond what the model expected, and the default order of the suspects."""
    entries = known()
    found = {
        name: (1 if entries[name].hard == "high" else -1) * scores[name].to_numpy().astype(float)
        for name in scores.columns
        if name in entries
    }
    found["loss - entropy"] = scores["loss"].to_numpy() - scores["entropy"].to_numpy()
    found[LAST] = scores[LAST].to_numpy()
    found["suspects (larger rank by ifd and end_loss)"] = misfit(scores).to_numpy()
    return found


def main() -> None:
    """Plant, train, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument(
        "--draw", type=int, default=0, help="another draw of rows; the order was chosen on draw 0"
    )
    given = parser.parse_args()
    rows, wrong = planted(given.rows, given.draw)
    scores = trained(rows, given.model, given.out)
    kinds = (None, "swapped", "truncated")
    table = {
        name: {kind or "all": round(precision(scores, values, wrong, kind), 3) for kind in kinds}
        for name, values in orders(scores).items()
    }
    ordered = dict(sorted(table.items(), key=lambda item: -item[1]["all"]))
    counts = {kind: sum(one == kind for one in wrong.values()) for kind in kinds[1:]}
    known_before = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {}
    facts = {"rows": given.rows, "planted": counts, "precision": ordered}
    figures = {**known_before, f"draw {given.draw}": facts}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for name, found in ordered.items():
        print(name, found)


if __name__ == "__main__":
    main()
