"""Train cells of a language model: one fine-tuning each, tested by the loss of the held-out completions."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from thresher.config import TrainConfig
from thresher.experiments.cell import Cell, Metrics, Result, Tested, write_tested
from thresher.models.completions import Completions, tokenise_completions
from thresher.models.language_model import adapted, longest, put_weights
from thresher.rows import read_rows
from thresher.run import FIRST, Run, parquet
from thresher.signals.completions import measure_completions
from thresher.signals.completions.of_tokens import rows_to_measure
from thresher.training.checkpoints import load_weights
from thresher.training.finished import finished, list_checkpoints
from thresher.training.language_runs import prepared
from thresher.training.recipe import steps_of
from thresher.training.sft import fit_completions

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Per test row: the sum of the losses of its completion tokens (nats), how many tokens are right, how many there are, and whether
# all are right, so that greedy decoding writes exactly this completion.
COLUMNS = ("loss", "right", "tokens", "exact")


def text_cell_job(run: Run, cells: dict[str, Cell]) -> dict[str, Tested]:
    """Train (or take from the scored run, where it is the same training) and test cells, one after the other."""
    return {key: text_cell(run, key, cell) for key, cell in cells.items()}


def text_cell(run: Run, key: str, cell: Cell) -> Tested:
    """Train and test one cell; returns its figures."""
    config, started = run.config, time.monotonic()
    rows, test = read_rows(run.rows_file), read_rows(run.test_file)
    model, tokenizer, tokens = prepared(config, rows)
    model = adapted(model, config.generate, cell["seed"])
    recipe = config.train.model_copy(update={"max_steps": cell["max_steps"]})
    if is_own(run, config.train, cell):
        put_weights(model, load_weights(list_checkpoints(run.checkpoints(FIRST))[-1]))
        steps = steps_of(config.train, len(rows))
    else:
        chosen = tokens if cell["rows"] is None else tokens.take(cell["rows"])
        folder = run.progress(key)
        steps = fit_completions(model, chosen, recipe, config.generate, cell["seed"], folder)
        shutil.rmtree(folder, ignore_errors=True)
    tested = tokenise_completions(test, tokenizer, longest(model, config.model), tokens.template)
    found = measured_rows(model, tested, tokenizer, config.measure.batch_tokens)
    total = {name: float(found[name].to_numpy().sum()) for name in COLUMNS}
    metrics: Metrics = {
        "loss": total["loss"] / total["tokens"],
        "token_accuracy": total["right"] / total["tokens"],
        "exact": total["exact"] / found.height,
    }
    table = found.insert_column(0, test.table["id"])
    return write_tested(run, key, cell, table, metrics, steps, time.monotonic() - started, recipe.batch_size)


def is_own(run: Run, config: TrainConfig, cell: Cell) -> bool:
    """Whether a cell is the training that the run was scored by."""
    same = cell["rows"] is None and cell["max_steps"] == config.max_steps and cell["seed"] == config.seed
    return same and finished(run, FIRST)


def measured_rows(
    model: PreTrainedModel, tokens: Completions, tokenizer: PreTrainedTokenizerBase, batch_tokens: int
) -> pl.DataFrame:
    """What a model gives the completions of some rows; the columns are `COLUMNS`."""
    found = measure_completions(
        model, rows_to_measure(tokens, tokenizer), [lambda: None], batch_tokens=batch_tokens
    )
    number = found["n_completion"]
    return pl.DataFrame(
        {
            "loss": found["loss"][:, 0].astype(np.float64) * number,
            "right": np.rint(found["accuracy"][:, 0].astype(np.float64) * number).astype(np.int32),
            "tokens": number.astype(np.int32),
            "exact": found["correct"][:, 0].astype(bool),
        }
    )


def measured_columns(run: Run, results: Sequence[Result]) -> dict[str, np.ndarray]:
    """What the test rows got in some cells, by column; each (seeds, test rows)."""
    tables = [parquet.read(run.cell_file(result["key"]), columns=list(COLUMNS)) for result in results]
    return {name: np.stack([table[name].to_numpy() for table in tables]).astype(float) for name in COLUMNS}
