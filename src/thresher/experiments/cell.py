"""A cell: one training on one selection of rows with one seed, tested once; its file has the predictions and the metrics."""

from __future__ import annotations

import json
from typing import TypedDict

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.config import TrainConfig
from thresher.experiments.metrics import accuracy, macro_f1
from thresher.rows import Rows
from thresher.run import Run, Training
from thresher.run.files import digest
from thresher.run.integrity import metadata, table_problem, write_table
from thresher.training.finished import finished

KEY = b"thresher.cell"


class Cell(TypedDict):
    """One training of an arm: its seed, its steps and its rows."""

    arm: str
    selection: str | None
    seed: int
    max_steps: int | None
    kept: str  # the hash of the ids of its rows, or "all"
    rows: NDArray[np.int32] | None  # the numbers of its rows, None for all
    n: int


class Metrics(TypedDict, total=False):
    """What a training reached on the test rows: the first two for rows with labels, the others for completions."""

    accuracy: float
    macro_f1: float
    loss: float
    token_accuracy: float
    exact: float


class Tested(Metrics):
    """A training and what it reached; this is in the file of its cell."""

    arm: str
    selection: str | None
    seed: int
    n_train: int
    steps: int
    epochs: float
    seconds: float


class Result(Tested):
    """A finished cell, with the key that names its file."""

    key: str


def new_cell(
    arm: str,
    seed: int,
    max_steps: int | None,
    ids: pl.Series,
    kept: NDArray[np.bool_] | None = None,
    selection: str | None = None,
) -> Cell:
    """A training on the rows of which `kept` (N,) is true, or on all N, whose `ids` are given in row order.

    Rows are known by the hash of their sorted ids: the same choice made in two ways is one cell.

    >>> ids = pl.Series(["a", "b", "c"])
    >>> one = new_cell("kept", 0, None, ids, np.array([True, False, True]))
    >>> one["rows"].tolist(), one["n"], new_cell("full", 0, None, ids)["kept"]
    ([0, 2], 2, 'all')
    """
    rows = None if kept is None else np.flatnonzero(kept).astype(np.int32)
    return {
        "arm": arm,
        "selection": selection,
        "seed": seed,
        "max_steps": max_steps,
        "kept": "all" if rows is None else digest(ids.gather(rows).sort().to_list()),
        "rows": rows,
        "n": len(ids) if rows is None else len(rows),
    }


def chosen_rows(cell: Cell, n: int) -> NDArray[np.int64]:
    """The numbers of the rows of a cell, of n."""
    return np.arange(n) if cell["rows"] is None else cell["rows"].astype(np.int64)


def cell_key(run: Run, cell: Cell) -> str:
    """The name of a cell: a hash of rows, test rows, model, recipe, selection of rows, steps and seed."""
    same = {"runs", "folds", "seed", "report_to", "workers"}  # a training is the same whatever these are
    made_of = {
        "rows": run.manifest.rows_hash,
        "test": run.manifest.test_hash,
        "model": run.config.model.model_dump(mode="json"),
        "train": run.config.train.model_dump(mode="json", exclude=same),
    }
    if run.manifest.task == "text":
        made_of["generate"] = run.config.generate.model_dump(mode="json")
    chosen = {"kept": cell["kept"], "seed": cell["seed"], "max_steps": cell["max_steps"]}
    return digest({**made_of, **chosen})


def same_training(run: Run, config: TrainConfig, cell: Cell) -> Training | None:
    """The finished training on full data that is identical to a cell, if there is one."""
    if cell["rows"] is not None or cell["max_steps"] != config.max_steps:
        return None
    number = cell["seed"] - config.seed
    own = (Training("run", number), Training("full", number))
    return next((training for training in own if finished(run, training)), None)


def write_cell(
    run: Run,
    key: str,
    cell: Cell,
    test: Rows,
    logits: NDArray[np.float32],
    steps: int,
    seconds: float,
    batch: int,
) -> Tested:
    """Write the predicted classes of the test rows, and return the metrics."""
    predicted = logits.argmax(1).astype(np.int32)
    truth = test.labels()
    table = pl.DataFrame({"id": test.table["id"], "predicted": predicted})
    metrics: Metrics = {"accuracy": accuracy(truth, predicted), "macro_f1": macro_f1(truth, predicted)}
    return write_tested(run, key, cell, table, metrics, steps, seconds, batch)


def write_tested(
    run: Run,
    key: str,
    cell: Cell,
    table: pl.DataFrame,
    metrics: Metrics,
    steps: int,
    seconds: float,
    batch: int,
) -> Tested:
    """Write what the test rows got, and return the metrics, which are in the same file."""
    facts: Tested = {
        "arm": cell["arm"],
        "selection": cell["selection"],
        "seed": cell["seed"],
        "n_train": cell["n"],
        "steps": steps,
        "epochs": round(steps / -(-cell["n"] // batch), 2),
        "seconds": round(seconds, 2),
        **metrics,
    }
    write_table(run.cell_file(key), table, {KEY: json.dumps(facts).encode()})
    return facts


def read_cell(run: Run, key: str) -> Tested | None:
    """The metrics of a finished cell; None if there is none, or its file is damaged."""
    path = run.cell_file(key)
    found = None if table_problem(path) else metadata(path).get(KEY)
    return json.loads(found) if found else None
