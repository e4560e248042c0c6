"""Cross-validation: which rows each fold leaves out, and the held-out logits of these rows.

Training `fold-i` with F folds belongs to run i // F and leaves out part i % F of the partition of that run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.config import ModelConfig, TrainConfig
from thresher.errors import UserError
from thresher.run import Run, Training
from thresher.run.integrity import read_table, write_blocks
from thresher.run.run import TRAIN_AGAIN
from thresher.training.finished import finished

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

    Raises UserError: one fold, or more folds than rows.
    """
    if config.folds == 1:
        raise UserError("folds is 1; give 2 or more, or 0 for no cross-validation")
    if config.folds != "auto" and config.folds > n_rows:
        raise UserError(f"folds is {config.folds}, but there are only {n_rows} rows; every fold needs a row")


def fold_trainings(run: int, folds: int) -> list[Training]:
    """The trainings of the cross-validation of a run, one per fold.

    >>> [training.name for training in fold_trainings(1, 3)]
    ['fold-3', 'fold-4', 'fold-5']
    """
    return [Training("fold", run * folds + part) for part in range(folds)]


def n_seen(training: Training, n_rows: int, folds: int) -> int:
    """The number of rows that a training sees.

    >>> [n_seen(one, 7, 3) for one in (Training("run", 1), Training("fold", 3), Training("fold", 4))]
    [7, 4, 5]
    """
    return n_rows if training.kind != "fold" else n_rows - len(range(training.index % folds, n_rows, folds))


def left_out(
    training: Training, ids: pl.Series, labels: NDArray[np.int64], folds: int, seed: int
) -> NDArray[np.bool_]:
    """Which rows a training does not see, (N,): the held-out rows of a fold, none for other trainings.

    Every class is distributed evenly over the folds, in an order that depends on the ids, the seed and the run, and not on
    the order of the rows. Folds differ by at most one row.

    >>> rows = pl.Series(["a", "b", "c", "d"]), np.array([0, 0, 1, 1])
    >>> [int(left_out(Training("fold", part), *rows, folds=2, seed=0).sum()) for part in (0, 1)]
    [2, 2]
    """
    if training.kind != "fold":
        return np.zeros(len(ids), np.bool_)
    run, part = divmod(training.index, folds)
    drawn = np.empty(len(ids))
    drawn[ids.arg_sort().to_numpy()] = np.random.default_rng((seed, run)).random(len(ids))
    parts = np.empty(len(ids), np.int64)
    parts[np.lexsort((drawn, labels))] = np.arange(len(ids)) % folds
    return parts == part


def write_held_out(
    run: Run, training: Training, step: int, ids: pl.Series, logits: Iterable[NDArray[np.float32]]
) -> None:
    """Write the logits (n, K) of the held-out rows with these ids, in row order; they come in blocks of rows."""

    def tables() -> Iterator[pl.DataFrame]:
        start = 0
        for block in logits:
            yield pl.DataFrame({"id": ids[start : start + len(block)], "held_out_logits": block})
            start += len(block)

    write_blocks(run.evaluations(training) / f"step-{step:08d}.parquet", tables())


def read_held_out(run: Run, training: Training, folds: int) -> pl.DataFrame | None:
    """`id` and `held_out_logits` of every row, from the folds of a training; None if a fold is missing."""
    own = fold_trainings(training.index, folds)
    if not folds or not all(finished(run, one) for one in own):
        return None
    files = [path for one in own for path in sorted(run.evaluations(one).glob("step-*.parquet"))]
    return pl.concat([read_table(path, TRAIN_AGAIN) for path in files])
