"""Cells of a frozen encoder: heads, a few in one pass."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from thresher.rows import read_rows
from thresher.run_folder import features_file, read_manifest
from thresher.study.cell import Cell, scored_run, write_cell
from thresher.training.checkpoints import list_checkpoints, load_weights
from thresher.training.features import read_features
from thresher.training.head import fit_heads, head_logits
from thresher.training.recipe import configs, steps_of


def head_cell_job(run: Path, cells: dict[str, Cell]) -> dict[str, dict[str, Any]]:
    """Train (or take from the scored runs) and test cells of equally many rows and steps, side by side."""
    manifest = read_manifest(run)
    model, config = configs(manifest)
    rows, test = read_rows(run / "rows.parquet"), read_rows(run / "test.parquet")
    features = read_features(features_file(run))
    started = time.monotonic()
    states, steps = {}, {}
    for key, cell in cells.items():
        if name := scored_run(run, config, cell):
            states[key] = load_weights(list_checkpoints(run / "checkpoints" / name)[-1])
            steps[key] = steps_of(config, len(rows))
    left = {key: cell for key, cell in cells.items() if key not in states}
    if left:
        trained, taken = fit_heads(
            features,
            [rows.labels()] * len(left),
            [np.arange(len(rows)) if cell["rows"] is None else cell["rows"] for cell in left.values()],
            [cell["seed"] for cell in left.values()],
            len(rows.classes),
            model,
            config.model_copy(update={"max_steps": next(iter(left.values()))["max_steps"]}),
        )
        states |= dict(zip(left, trained, strict=True))
        steps |= dict.fromkeys(left, taken)
    seconds = (time.monotonic() - started) / len(cells)
    tested = read_features(features_file(run, "test"))
    return {
        key: write_cell(
            run, key, cell, test, head_logits(states[key], tested), steps[key], seconds, config.batch_size
        )
        for key, cell in cells.items()
    }
