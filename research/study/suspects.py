"""Orders and lengths of the list of suspects: `python -m research.study.suspects ROWS OUT [--sets ...] [--levels ...]`.

Labels of the validation rows (`val.jsonl`: 2,734 to 3,028 rows) are changed as in `research.study.noise`, and a run on them is
trained and scored, with the frozen encoder, three trainings and five folds. Per level: precision at the planted number of the
orders that the default could be, and what the estimate says of the list. Finished runs are reused."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from scipy.stats import rankdata

from research.study.data import COLUMNS
from research.study.detect import confident_learning, precision_at
from research.study.run import config_of, recorded, results, training_rows
from thresher.config import MeasureConfig, NoiseConfig, RunConfig
from thresher.experiments.guesses import Guess, mean_probabilities
from thresher.experiments.label_errors import early_probabilities, wrong_chances
from thresher.experiments.planted_noise import plant, with_labels
from thresher.experiments.suspects import suspects_table
from thresher.experiments.suspects_length import length
from thresher.pipeline.nested import nested_run
from thresher.rows import read_rows
from thresher.run import Run
from thresher.signals.measure import read_signals


def settings_of(rows: Path, name: str) -> RunConfig:
    """The frozen encoder's recipe on the validation rows."""
    config = config_of(rows, name, "val")
    data = config.data.model_copy(update={"train": str(rows / name / "val.jsonl"), "test": None})
    return config.model_copy(
        update={
            "data": data,
            "train": config.train.model_copy(update={"forgetting_evaluations": 0}),
            "measure": MeasureConfig(signals=(), words=True, workers=1),
        }
    )


def figures(run: Run, wrong: np.ndarray) -> dict[str, Any]:
    """What the orders and the estimate find; `wrong` (N,) marks the planted errors, which may be none."""
    measured = [read_signals(run, training) for training in run.measured()]
    signals, scores = [one for one, _ in measured], run.scores()
    label = signals[0]["label"].cast(pl.Int64).to_numpy()
    early, count = early_probabilities(measured), int(wrong.sum())
    ranks = {name: rankdata(scores[name]) for name in ("aum", "word_margin", "held_out_margin")}
    orders = {name: scores[name].to_numpy() for name in ("confidence", "aum", "word_margin")} | {
        "rank_mean": ranks["aum"] + ranks["word_margin"],
        "three_ranks": sum(ranks.values()),
    }
    chances = wrong_chances(label, early)
    every = suspects_table(
        scores, Guess.of(label, mean_probabilities(signals)), run.manifest.classes, "auto", chances
    )
    found = every.head(length(every, scores.height, chances))
    among = pl.DataFrame({"id": scores["id"], "wrong": wrong})
    return {
        "rows": len(wrong),
        "wrong": count,
        "accuracy": round(float((early.argmax(axis=1) == label).mean()), 4),
        "precision": {
            name: round(precision_at(-values, wrong, count), 4) if count else None
            for name, values in orders.items()
        },
        "disagreeing": every.height,
        "confident_learning": int(confident_learning(label, early).flagged.sum()),
        "estimate": round(float(chances.sum()), 1),
        "listed": found.height,
        "expected": round(float(found["p_wrong"].sum()), 1),
        "found": int(found.join(among, on="id")["wrong"].sum()),
    }


def study(rows: Path, out: Path, name: str, kinds: list[str], levels: list[float], seed: int) -> None:
    """All levels of a data set, the clean labels first."""
    config = settings_of(rows, name)
    clean = nested_run(out / f"{name}-suspects", training_rows(config), None, config)
    loaded = read_rows(clean.rows_file)
    lines = {"none 0": figures(clean, np.zeros(len(loaded), bool))}
    for kind in kinds:
        for level in levels:
            noisy = plant(clean, loaded, kind, level, NoiseConfig(seed=seed))
            folder = out / f"{name}-suspects-{kind}-{level:g}-{seed}"
            inner = nested_run(folder, with_labels(loaded, noisy.labels), None, config)
            lines[f"{kind} {level:g}"] = figures(inner, noisy.changed)
            recorded("val", name, "suspects", results()["val"].get(name, {}).get("suspects", {}) | lines)
            print(name, kind, level, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(COLUMNS), choices=list(COLUMNS))
    parser.add_argument("--kinds", nargs="+", default=["isotropic", "class"], choices=["isotropic", "class"])
    parser.add_argument("--levels", nargs="+", type=float, default=[0.02, 0.05, 0.1])
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    for name in asked.sets:
        study(asked.rows, asked.out, name, asked.kinds, asked.levels, asked.seed)


if __name__ == "__main__":
    main()
