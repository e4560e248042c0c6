"""Cross-validation: which rows each fold leaves out, and the held-out logits of these rows.

Training `fold-i` with F folds belongs to run i // F and leaves out part i % F of the partition of that run.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.config import ModelConfig, TrainConfig
from thresher.errors import UserError
from thresher.sealed import read_table, write_table
from thresher.training.sound import TRAIN_AGAIN, finished

FROZEN_FOLDS = 5


def folds_of(model: ModelConfig, config: TrainConfig) -> int:
    """The number of folds; 0 without cross-validation.

    >>> folds_of(ModelConfig(freeze=True), TrainConfig()), folds_of(ModelConfig(), TrainConfig())
    (5, 0)
    """
    if config.folds != "auto":
        return config.folds
    return FROZEN_FOLDS if model.freeze else 0


def check_folds(config: TrainConfig, n_rows: int) -> None:
    """Refuse an impossible number of folds.

    Raises
    ------
    UserError
        one fold, or more folds than rows.
    """
    if config.folds == 1:
        raise UserError("folds is 1; give 2 or more, or 0 for no cross-validation")
    if config.folds != "auto" and config.folds > n_rows:
        raise UserError(f"folds is {config.folds}, but there are only {n_rows} rows; every fold needs a row")


def fold_names(run: int, folds: int) -> list[str]:
    """The trainings of a run's cross-validation, one per fold.

    >>> fold_names(1, 3)
    ['fold-3', 'fold-4', 'fold-5']
    """
    return [f"fold-{run * folds + part}" for part in range(folds)]


def is_fold(name: str) -> bool:
    """Whether a training is a fold of a cross-validation."""
    return name.startswith("fold-")


def n_seen(name: str, n_rows: int, folds: int) -> int:
    """The number of rows that a training sees.

    >>> n_seen("run-1", 7, 3), n_seen("fold-3", 7, 3), n_seen("fold-4", 7, 3)
    (7, 4, 5)
    """
    if not is_fold(name):
        return n_rows
    return n_rows - len(range(int(name.removeprefix("fold-")) % folds, n_rows, folds))


def left_out(
    name: str, ids: pl.Series, labels: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.bool_]:
    """Which rows a training does not see, (N,); none unless it is a fold.

    Every class is distributed evenly over the folds, in an order that depends on the ids, the seed and the run, and not on
    the order of the rows. Folds differ by at most one row.

    >>> rows = pl.Series(["a", "b", "c", "d"]), np.array([0, 0, 1, 1])
    >>> [int(left_out(f"fold-{part}", *rows, folds=2, seed=0).sum()) for part in (0, 1)]
    [2, 2]
    """
    if not is_fold(name):
        return np.zeros(len(ids), np.bool_)
    run, part = divmod(int(name.removeprefix("fold-")), folds)
    drawn = np.empty(len(ids))
    drawn[ids.arg_sort().to_numpy()] = np.random.default_rng((seed, run)).random(len(ids))
    parts = np.empty(len(ids), np.int64)
    parts[np.lexsort((drawn, labels))] = np.arange(len(ids)) % folds
    return parts == part


def write_held_out(
    run: Path, name: str, step: int, ids: pl.Series, out: NDArray[np.bool_], logits: NDArray[np.float32]
) -> None:
    """Write the logits (n, K) of the held-out rows, in row order."""
    table = pl.DataFrame({"id": ids.filter(out), "held_out_logits": logits})
    write_table(run / "evaluations" / name / f"step-{step:08d}.parquet", table)


def read_held_out(run: Path, name: str, folds: int) -> pl.DataFrame | None:
    """`id` and `held_out_logits` of every row, from the folds of the run `name`; None if a fold is missing."""
    names = fold_names(int(name.removeprefix("run-")), folds)
    if not folds or not all(finished(run, one) for one in names):
        return None
    files = [path for one in names for path in sorted((run / "evaluations" / one).glob("step-*.parquet"))]
    return pl.concat([read_table(path, TRAIN_AGAIN) for path in files])
