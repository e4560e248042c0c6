"""Train cells of a frozen encoder: several heads in one pass."""

from __future__ import annotations

import time

from thresher.experiments.cell import Cell, Tested, chosen_rows, same_training, write_cell
from thresher.rows import read_rows
from thresher.run import Run
from thresher.training.checkpoints import load_weights
from thresher.training.feature_files import read_features
from thresher.training.finished import list_checkpoints
from thresher.training.head import fit_heads, head_logits
from thresher.training.recipe import steps_of


def head_cell_job(run: Run, cells: dict[str, Cell]) -> dict[str, Tested]:
    """Train (or take from the scored runs) and test cells of equally many rows and steps, side by side."""
    model, config = run.config.model, run.config.train
    rows, test = read_rows(run.rows_file), read_rows(run.test_file)
    features = read_features(run.features_folder())
    started = time.monotonic()
    states, steps = {}, {}
    for key, cell in cells.items():
        if training := same_training(run, config, cell):
            states[key] = load_weights(list_checkpoints(run.checkpoints(training))[-1])
            steps[key] = steps_of(config, len(rows))
    left = {key: cell for key, cell in cells.items() if key not in states}
    if left:
        trained, taken = fit_heads(
            features,
            [rows.labels()] * len(left),
            [chosen_rows(cell, len(rows)) for cell in left.values()],
            [cell["seed"] for cell in left.values()],
            len(rows.classes),
            model,
            config.model_copy(update={"max_steps": next(iter(left.values()))["max_steps"]}),
        )
        states |= dict(zip(left, trained, strict=True))
        steps |= dict.fromkeys(left, taken)
    seconds = (time.monotonic() - started) / len(cells)
    tested = read_features(run.features_folder("test"))
    return {
        key: write_cell(
            run, key, cell, test, head_logits(states[key], tested), steps[key], seconds, config.batch_size
        )
        for key, cell in cells.items()
    }
