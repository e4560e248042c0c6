"""Cross-fitting: every training row is a validation row once, for models and scores that come from the other rows."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from thresher.config import RunConfig, Signal
from thresher.experiments.arms import Arm, kept_by, scores_of
from thresher.experiments.cell import Cell, new_cell
from thresher.experiments.cells import predictions, run_head_cells
from thresher.pipeline.nested import as_scored, nested_run
from thresher.progress import say
from thresher.rows import read_rows
from thresher.rows.split import part, parts_of
from thresher.run import Run, parquet
from thresher.training.recipe import steps_of

Floats = NDArray[np.float64]
APART = 10_007  # between the seeds of the folds: no training of one has the initial weights of another's


def fold_runs(run: Run, folds: int, columns: Collection[str]) -> tuple[Run, ...]:
    """K runs in `RUN/.thresher/how_much/`, each trained and scored as `run` was, but on the rows outside a part, its test rows.

    Of the signals, only those are measured that the scores in `columns` need.
    A class of which all texts lie in one part is always trained on. A fold whose files are there is not trained again.
    """
    rows, config = read_rows(run.rows_file), as_scored(run)
    signals = signals_of(columns, config.measure.signals)
    config = config.model_copy(update={"measure": config.measure.model_copy(update={"signals": signals})})
    number = parts_of(rows, folds, config.train.seed)
    found = []
    for fold in range(folds):
        folder = run.step_folder("how_much") / f"fold-{fold}-of-{folds}"
        seed = (config.train.seed + (fold + 1) * APART) % 2**31
        own: RunConfig = config.model_copy(update={"train": config.train.model_copy(update={"seed": seed})})
        found.append(nested_run(folder, part(rows, number != fold), part(rows, number == fold), own))
        say(f"how-much: fold {fold + 1} of {folds} is scored by the other rows")
    return tuple(found)


def signals_of(columns: Collection[str], measured: Sequence[Signal]) -> tuple[Signal, ...]:
    """Those of the measured signals that the scores in some columns need; all where a score is made of others.

    >>> signals_of(["held_out_margin", "correctness"], ["gradient_gram", "classifier_sq_norm"])
    ()
    >>> signals_of(["vog_class"], ["gradient_gram", "classifier_sq_norm"])
    ('gradient_gram',)
    """
    from thresher.scores import scores
    from thresher.scores.registry import SUFFIXES

    needed: set[str] = set()
    for column in filter(None, columns):
        base, _, suffix = column.rpartition("_")
        entry = scores().get(base if suffix in SUFFIXES else column)
        if entry is None or (entry.reads == "scores" and not entry.needs):
            return tuple(measured)
        needed |= set(entry.needs)
    return tuple(signal for signal in measured if signal in needed)


@dataclass(frozen=True)
class Fitted:
    """Heads of every fold: whether each row of it is classified correctly, K arrays of (S, n_k); the keys of the trainings."""

    right: list[NDArray[np.bool_]]
    keys: tuple[str, ...]
    n_train: int
    n_full: int


def fitted(
    folds: Sequence[Run], arm: Arm, fraction: float | None, seeds: int, same_steps: bool, workers: int | None
) -> Fitted:
    """Train S heads per fold on what the arm keeps at a fraction, or on all rows outside the fold, and test them on it."""
    asked: list[tuple[Run, list[Cell]]] = []
    for run in folds:
        recipe = run.config.train
        ids = parquet.read(run.rows_file, columns=["id"])["id"]
        steps = steps_of(recipe, len(ids)) if same_steps and fraction is not None else recipe.max_steps
        scores = scores_of(run, ids)
        with warnings.catch_warnings():
            # What a selection warns of is said once, where the rows of the run are selected, and not for every training here.
            warnings.simplefilter("ignore")
            cells = [
                new_cell("full", seed, steps, ids)
                if fraction is None
                else new_cell(arm.name, seed, steps, ids, kept_by(arm, scores, fraction, seed), arm.name)
                for seed in range(recipe.seed, recipe.seed + seeds)
            ]
        asked.append((run, cells))
    results = run_head_cells(asked, workers)
    return Fitted(
        [
            predictions(run, found) == read_rows(run.test_file).labels()
            for run, found in zip(folds, results, strict=True)
        ],
        tuple(one["key"] for found in results for one in found),
        sum(max(cell["n"] for cell in cells) for _, cells in asked),
        sum(run.manifest.n_rows for run in folds),
    )


@dataclass(frozen=True)
class Spread:
    """A mean difference over all rows of a cross-fit, and what makes it vary; see `cross_fit_interval`.

    `row`, `pair`, `both`: the variances V_row, V_seed and V_both of the mean.
    """

    mean: float
    row: float
    pair: float
    both: float
    rows: int
    folds: int
    seeds: int

    @property
    def variance(self) -> float:
        """SE^2."""
        return self.row + max(0.0, self.pair - self.both)

    def half(self, confidence: float) -> float:
        """Half of the width of an interval."""
        from scipy import stats

        by_pair = self.pair**2 / (self.folds * (self.seeds - 1))
        df = self.variance**2 / (by_pair + self.row**2 / (self.rows - self.folds))
        return float(stats.t.ppf((1 + confidence) / 2, df)) * self.variance**0.5

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Both ends, cut to [-1, 1]."""
        half = self.half(confidence)
        return max(self.mean - half, -1.0), min(self.mean + half, 1.0)

    def with_seeds(self, seeds: int) -> Spread:
        """What it would be with other trainings, as many per fold, of the same mean."""
        times = self.seeds / seeds
        row = max(self.row - self.both * (1 - times), least(self.rows))
        return replace(self, row=row, pair=self.pair * times, both=self.both * times, seeds=seeds)


def least(rows: int) -> float:
    """The least V_row: what four rows that differ would give, as in `paired_interval`."""
    return min(4 / rows**2, 1.0)


def cross_fit_interval(differences: Sequence[Floats]) -> Spread:
    """The mean difference over all rows, each of which is tested in one of K folds by S pairs of trainings, and its interval.

    `differences`: K arrays (S, n_k), right(kept) - right(full) per pair of trainings and row; N = sum n_k.

        mean    = 1/N sum_k sum_i d_ki                        d_ki: mean over the S pairs
        V_row   = 1/N^2 sum_k n_k var_i(d_ki)                 what other rows would change; at least 4 / N^2
        V_seed  = 1/N^2 sum_k n_k^2 var_s(mean_i d_ksi) / S   what other trainings would change
        V_both  = 1/N^2 sum_k n_k var_si(rest_ksi) / S        rest: what row and pair alone do not explain; it is in both of these
        SE^2    = V_row + max(0, V_seed - V_both)
        df      = SE^4 / (V_seed^2 / (K (S-1)) + V_row^2 / (N-K))
        low, high = mean -+ t(df, (1 + confidence) / 2) SE

    It is about trainings on so many rows as lie outside of a fold: for the folds of this file, over new rows and new seeds.

    Source: Bayle, Bayle, Janson and Mackey 2020 for the central limit theorem of cross-validation with the variance within folds;
    the parts by the analysis of variance of rows and trainings, crossed within folds; Welch 1947 and Satterthwaite 1946 for
    df. Coverage: `tests/experiments/test_cross_fit.py`.

    >>> rng = np.random.default_rng(0)
    >>> found = cross_fit_interval([rng.choice([-1.0, 0.0, 1.0], (4, 500), p=[0.02, 0.97, 0.01]) for _ in range(5)])
    >>> [round(100 * one, 2) for one in (found.interval()[0], found.mean, found.interval()[1])]
    [-1.24, -0.8, -0.36]
    """
    seeds, rows = len(differences[0]), sum(one.shape[1] for one in differences)
    row = pair = both = 0.0
    for one in differences:
        n = one.shape[1]
        by_row, by_pair = one.mean(0), one.mean(1)
        row += n * float(by_row.var(ddof=1)) / rows**2
        pair += n**2 * float(by_pair.var(ddof=1)) / seeds / rows**2
        rest = one - by_row - by_pair[:, None] + one.mean()
        both += n * float((rest**2).sum()) / ((seeds - 1) * (n - 1)) / seeds / rows**2
    mean = sum(float(one.sum()) for one in differences) / (seeds * rows)
    return Spread(mean, max(row, least(rows)), pair, both, rows, len(differences), seeds)
