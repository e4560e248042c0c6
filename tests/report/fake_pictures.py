"""The files that the pictures read, for a fake run: a sweep, scores, signals of two trainings, their agreement."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from fake_run import finish_score, save

from thresher.config import SelectConfig, SweepConfig
from thresher.experiments.map import MapSettings, map_rows
from thresher.experiments.sweep import SweepSettings, result_file
from thresher.experiments.sweep import sweep as sweep_step
from thresher.run import Run, Training
from thresher.run.integrity import write_json, write_table
from thresher.scores import stability

CHECKPOINTS = 4
FRACTIONS = (0.2, 0.5)
SEEDS = 3
TRAININGS = (Training("run", 0), Training("run", 1))


def add_pictures(run: Run) -> Run:
    """Add all of it to a run whose rows are scored."""
    rng = np.random.default_rng(1)
    scores = pl.read_parquet(run.scores_file)
    n = scores.height
    columns = {name: rng.uniform(0, 1, n) for name in ("confidence", "correctness")}
    columns["variability"] = rng.uniform(0, 0.5, n)
    save(scores.with_columns(**{name: pl.Series(value) for name, value in columns.items()}), run.scores_file)
    found = sweep(pl.read_parquet(run.rows_file))
    write_sweep(run, {**found, "models": {"6": found, "frozen": found}})
    plane = {axis: pl.Series(rng.normal(0, 20, n)) for axis in ("x", "y")}
    save(scores.select("id").with_columns(**plane), run.map_file)
    map_rows.finish(run, MapSettings(), {"rows": n}, 0.0)
    for training in TRAININGS:
        add_signals(run.signals(training), scores, rng)
    agreement = stability([read_back(run.signals(training)) for training in TRAININGS])
    agreement["left_out"]["vog"] = "measured in one run only"
    finish_score(run, {**run.require("score").facts, "stability": agreement})
    return run


def write_sweep(run: Run, found: dict[str, Any]) -> None:
    """Write what a sweep found, and its record."""
    settings = SweepSettings(sweep=SweepConfig(), select=SelectConfig())
    write_json(result_file(run), found)
    sweep_step.finish(run, settings, {"trainings": 90}, 0.0)


def read_back(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Signals and checkpoints of one training."""
    parts = [pl.read_parquet(one) for one in sorted(folder.glob("part-*.parquet"))]
    return pl.concat(parts), pl.read_parquet(folder / "checkpoints.parquet")


def add_signals(folder: Path, scores: pl.DataFrame, rng: np.random.Generator) -> None:
    """Two part files with logits of four checkpoints, and the checkpoint table."""
    folder.mkdir(parents=True)
    names = sorted(set(scores["label"]))
    label = np.array([names.index(one) for one in scores["label"]], np.int32)
    logits = rng.normal(0, 1, (len(label), CHECKPOINTS, len(names)))
    ease = np.random.default_rng(2).uniform(-1, 3, (len(label), 1))  # of the row, in every training
    logits[np.arange(len(label)), :, label] += ease * np.arange(CHECKPOINTS)
    kind = pl.Array(pl.Float32, (CHECKPOINTS, len(names)))
    table = pl.DataFrame(
        {"id": scores["id"], "label": label, "logits": pl.Series(logits.astype(np.float32), dtype=kind)}
    )
    half = len(label) // 2
    write_table(folder / "part-00000.parquet", table[:half])
    write_table(folder / "part-00001.parquet", table[half:])
    steps = pl.DataFrame({"index": range(CHECKPOINTS), "epoch": [0.5, 1.0, 1.5, 2.0]})
    write_table(folder / "checkpoints.parquet", steps)


def sweep(rows: pl.DataFrame) -> dict[str, Any]:
    """Two scores at either end and random rows, in two fractions."""
    values = sorted(set(rows["intent"]))
    counts = [rows.filter(pl.col("intent") == value).height for value in values]

    def groups(loss: float) -> dict[str, Any]:
        # The last group has no test row.
        return {"label": {"accuracy": [*[0.8 - loss] * (len(values) - 1), None], "kept": [0.5] * len(values)}}

    def line(score: str | None, end: str, fraction: float, loss: float) -> dict[str, Any]:
        return {
            "score": score,
            "normalise": "raw",
            "end": end,
            "strategy": "cutoff" if score else "random",
            "options": {},
            "fraction": fraction,
            "same_steps": False,
            "n": round((1 - fraction) * rows.height),
            "steps": 90,
            "seeds": SEEDS,
            "accuracy": {"mean": 0.85 - loss, "std": 0.004, "values": [0.85 - loss] * SEEDS},
            "to_full": {"mean": -loss, "low": -loss - 0.01, "high": -loss + 0.01},
            "to_random": {"mean": 0.02 - loss, "low": 0.01 - loss, "high": 0.03 - loss},
            "groups": groups(loss),
        }

    chosen = (
        (None, "random", 0.1),
        ("vog", "easy", 0.05),
        ("vog", "hard", 0.3),
        ("<b>aum</b>", "easy", 0.02),
    )
    return {
        "metric": "accuracy",
        "full": {
            "accuracy": {"mean": 0.85, "std": 0.003, "values": [0.85] * SEEDS},
            "n": rows.height,
            "seeds": SEEDS,
            "groups": groups(0.0),
        },
        "groups": {"label": {"value": values, "n_train": counts, "n_test": [*[9] * (len(values) - 1), 0]}},
        "table": [line(score, end, f, slope * f) for f in FRACTIONS for score, end, slope in chosen],
    }
