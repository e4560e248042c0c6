"""Cross-validation: trainings that leave a part of the rows out, and what each of them says about that part.

Training `fold-i` of F folds and R runs belongs to repeat i // F and leaves out part i % F of that repeat's division.
"""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.config import ModelConfig, TrainConfig
from thresher.errors import UserError
from thresher.run import Run, Training
from thresher.run.integrity import read_table, write_table
from thresher.training.finished import TRAIN_AGAIN, finished

FROZEN_FOLDS = 5


def folds_of(model: ModelConfig, config: TrainConfig) -> int:
    """How many parts the rows are divided into; 0 where there is no cross-validation.

    >>> folds_of(ModelConfig(freeze=True), TrainConfig()), folds_of(ModelConfig(), TrainConfig())
    (5, 0)
    """
    if config.folds != "auto":
        return config.folds
    return FROZEN_FOLDS if model.freeze else 0


def check_folds(config: TrainConfig, n_rows: int) -> None:
    """Refuse a number of parts that cannot be made.

    Raises
    ------
    UserError
        one part, or more parts than rows.
    """
    if config.folds == 1:
        raise UserError("folds is 1; cross-validation needs 2 or more, and 0 makes none")
    if config.folds != "auto" and config.folds > n_rows:
        raise UserError(f"folds is {config.folds} and there are {n_rows} rows; every part needs one")


def fold_trainings(run: int, folds: int) -> list[Training]:
    """The trainings that belong to a run, one for each part.

    >>> [training.name for training in fold_trainings(1, 3)]
    ['fold-3', 'fold-4', 'fold-5']
    """
    return [Training("fold", run * folds + part) for part in range(folds)]


def n_seen(training: Training, n_rows: int, folds: int) -> int:
    """How many of the rows a training sees.

    >>> [n_seen(one, 7, 3) for one in (Training("run", 1), Training("fold", 3), Training("fold", 4))]
    [7, 4, 5]
    """
    return n_rows if training.kind != "fold" else n_rows - len(range(training.index % folds, n_rows, folds))


def left_out(
    training: Training, ids: pl.Series, labels: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.bool_]:
    """Which rows a training does not see, (N,): those of its part for a fold, none for another training.

    Every class is dealt out evenly over the parts, in an order that depends on the ids and on the seed of the repeat and not on
    the order of the rows; parts differ by one row at most.

    >>> rows = pl.Series(["a", "b", "c", "d"]), np.array([0, 0, 1, 1])
    >>> [int(left_out(Training("fold", part), *rows, folds=2, seed=0).sum()) for part in (0, 1)]
    [2, 2]
    """
    if training.kind != "fold":
        return np.zeros(len(ids), np.bool_)
    repeat, part = divmod(training.index, folds)
    drawn = np.empty(len(ids))
    drawn[ids.arg_sort().to_numpy()] = np.random.default_rng((seed, repeat)).random(len(ids))
    parts = np.empty(len(ids), np.int64)
    parts[np.lexsort((drawn, labels))] = np.arange(len(ids)) % folds
    return parts == part


def write_held_out(
    run: Run, training: Training, step: int, ids: pl.Series, out: NDArray[np.bool_], logits: NDArray[np.float32]
) -> None:
    """Write the logits (n, K) of the rows that were left out, in row order."""
    table = pl.DataFrame({"id": ids.filter(out), "held_out_logits": logits})
    write_table(run.evaluations(training) / f"step-{step:08d}.parquet", table)


def read_held_out(run: Run, training: Training, folds: int) -> pl.DataFrame | None:
    """`id` and `held_out_logits` of every row, by the folds of a training; None if one of them is missing."""
    own = fold_trainings(training.index, folds)
    if not folds or not all(finished(run, one) for one in own):
        return None
    files = [path for one in own for path in sorted(run.evaluations(one).glob("step-*.parquet"))]
    return pl.concat([read_table(path, TRAIN_AGAIN) for path in files])
