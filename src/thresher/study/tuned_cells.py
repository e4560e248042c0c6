"""Cells of a model that is fine-tuned as a whole: one training each."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np

from thresher.models.tokens import tokenise
from thresher.rows import read_rows
from thresher.run_folder import read_manifest
from thresher.study.cell import Cell, scored_run, write_cell
from thresher.training.checkpoints import build_classifier, list_checkpoints, load_weights
from thresher.training.fit import fit
from thresher.training.predict import predict_logits
from thresher.training.recipe import configs, steps_of
from thresher.training.train import new_classifier


def tuned_cell_job(run: Path, cells: dict[str, Cell]) -> dict[str, dict[str, Any]]:
    """Train (or take from the scored run, where it is the same training) and test cells, one after the other."""
    return {key: tuned_cell(run, key, cell) for key, cell in cells.items()}


def tuned_cell(run: Path, key: str, cell: Cell) -> dict[str, Any]:
    """Train and test one cell; returns its figures."""
    manifest = read_manifest(run)
    model_config, config = configs(manifest)
    rows, test = read_rows(run / "rows.parquet"), read_rows(run / "test.parquet")
    started = time.monotonic()
    scored = scored_run(run, config, cell)
    if scored:
        model, tokenizer = build_classifier(run / "checkpoints" / "model")
        last = list_checkpoints(run / "checkpoints" / scored)[-1]
        model.load_state_dict(load_weights(last))
        steps = steps_of(config, len(rows))
    else:
        keep = np.arange(len(rows)) if cell["rows"] is None else cell["rows"]
        model, tokenizer = new_classifier(model_config, len(rows.classes), cell["seed"])
        tokens = tokenise(
            [rows.table[column].gather(keep).to_list() for column in rows.text],
            tokenizer,
            model_config.max_length,
        )
        recipe = config.model_copy(update={"max_steps": cell["max_steps"]})
        folder = run / "training" / key
        steps = fit(model, tokens, rows.labels()[keep], recipe, cell["seed"], folder)
        shutil.rmtree(folder, ignore_errors=True)
    tokens = tokenise(
        [test.table[column].to_list() for column in test.text], tokenizer, model_config.max_length
    )
    logits = predict_logits(model, tokens)
    return write_cell(run, key, cell, test, logits, steps, time.monotonic() - started, config.batch_size)
