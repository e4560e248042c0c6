"""Train cells of a fine-tuned model: one training each."""

from __future__ import annotations

import shutil
import time

from thresher.experiments.cell import Cell, Tested, chosen_rows, same_training, write_cell
from thresher.models.tokens import tokenise
from thresher.rows import read_rows
from thresher.run import Run
from thresher.training.checkpoints import build_classifier, load_weights
from thresher.training.finished import list_checkpoints
from thresher.training.fit import fit
from thresher.training.predict import predict_logits
from thresher.training.recipe import steps_of
from thresher.training.train import new_classifier


def tuned_cell_job(run: Run, cells: dict[str, Cell]) -> dict[str, Tested]:
    """Train (or take from the scored run, where it is the same training) and test cells, one after the other."""
    return {key: tuned_cell(run, key, cell) for key, cell in cells.items()}


def tuned_cell(run: Run, key: str, cell: Cell) -> Tested:
    """Train and test one cell; returns its figures."""
    model_config, config = run.config.model, run.config.train
    rows, test = read_rows(run.rows_file), read_rows(run.test_file)
    started = time.monotonic()
    scored = same_training(run, config, cell)
    if scored:
        model, tokenizer = build_classifier(run.model_folder)
        last = list_checkpoints(run.checkpoints(scored))[-1]
        model.load_state_dict(load_weights(last))
        steps = steps_of(config, len(rows))
    else:
        keep = chosen_rows(cell, len(rows))
        model, tokenizer = new_classifier(model_config, len(rows.classes), cell["seed"])
        tokens = tokenise(
            [rows.table[column].gather(keep).to_list() for column in rows.text],
            tokenizer,
            model_config.max_length,
        )
        recipe = config.model_copy(update={"max_steps": cell["max_steps"]})
        folder = run.progress(key)
        steps = fit(model, tokens, rows.labels()[keep], recipe, cell["seed"], folder)
        shutil.rmtree(folder, ignore_errors=True)
    tokens = tokenise(
        [test.table[column].to_list() for column in test.text], tokenizer, model_config.max_length
    )
    logits = predict_logits(model, tokens)
    return write_cell(run, key, cell, test, logits, steps, time.monotonic() - started, config.batch_size)
