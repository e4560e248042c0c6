"""The search for the largest share of the rows that can be dropped without losing more than a margin, by few trainings."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from thresher.config import HowMuchConfig
from thresher.errors import UserError
from thresher.experiments.arms import Arm, kept_by, scores_of
from thresher.experiments.bisection import bisected, crossing
from thresher.experiments.cell import new_cell
from thresher.experiments.cells import run_cells
from thresher.experiments.outcomes import Outcomes, gain, outcomes_of
from thresher.facts.search import ShareLook, ShareSearch
from thresher.run import Run, parquet
from thresher.selection.request import target
from thresher.training.recipe import steps_of

BOOTSTRAP = 1000


@dataclass(frozen=True)
class Look:
    """S trainings on the kept rows and S on all rows, and what they give the test rows; see `Outcomes`.

    `fraction` is what the selection was asked to prune; of `n_full` rows it kept `n_kept`, the most where the seeds differ.
    """

    fraction: float
    n_kept: int
    n_full: int
    kept: Outcomes
    full: Outcomes
    keys: tuple[str, ...]
    steps: int

    @property
    def removed(self) -> float:
        """The share that is dropped, 1 - n_kept / n_full: less than the fraction if floors and protected rows keep more."""
        return round(1 - self.n_kept / self.n_full, 6)

    @property
    def weight(self) -> float:
        """Of its mean in a fit through several looks."""
        return float(self.kept.seeds)

    def undecidable(self, margin: float, seeds: int, confidence: float) -> bool:
        """Never, as far as is known: more seeds are tried."""
        return False

    def facts(self, margin: float, confidence: float = 0.95) -> ShareLook:
        """How many rows are dropped; the paired difference with its interval, and its meaning for a margin."""
        found = gain(self.kept, self.full, confidence)
        shown = "not worse" if found["low"] > -margin else "worse" if found["high"] < -margin else "undecided"
        return {
            "fraction": self.fraction,
            "n_kept": self.n_kept,
            "n_full": self.n_full,
            "removed": self.removed,
            "seeds": self.kept.seeds,
            "mean": found["mean"],
            "low": found["low"],
            "high": found["high"],
            "confidence": confidence,
            "shown": shown,
        }


def look(
    run: Run, arm: Arm, fraction: float, seeds: int, same_steps: bool = False, workers: int | None = None
) -> Look:
    """Train S models on what the arm keeps at a fraction and S on all rows, paired by seed, and test them."""
    recipe = run.config.train
    ids = parquet.read(run.rows_file, columns=["id"])["id"]
    scores = scores_of(run, ids)
    steps = steps_of(recipe, len(ids)) if same_steps else recipe.max_steps
    numbers = range(recipe.seed, recipe.seed + seeds)
    full = [new_cell("full", seed, recipe.max_steps, ids) for seed in numbers]
    kept = [
        new_cell(arm.name, seed, steps, ids, kept_by(arm, scores, fraction, seed), arm.name)
        for seed in numbers
    ]
    results = run_cells(run, [*full, *kept], workers)
    return Look(
        fraction,
        max(cell["n"] for cell in kept),
        len(ids),
        outcomes_of(run, results[seeds:]),
        outcomes_of(run, results[:seeds]),
        tuple(result["key"] for result in results),
        sum(result["steps"] for result in results),
    )


def shares(arm: Arm, scores: pl.DataFrame, step: float, seed: int = 0) -> list[float]:
    """The multiples of `step` below 1 that are worth a look: each keeps fewer rows than the one before it.

        n_kept(f) = max(round((1 - f) N), rows that floors and protection keep at f)        of the N rows of `scores`

    The first keeps fewer than N. Where floors and protection take over, n_kept falls no further and the grid ends.

    Raises UserError: no share drops rows; a column that the arm reads is missing or not finite.

    >>> table = pl.DataFrame({"id": [*"abcdefgh"], "kind": [*"xxxxxyyy"], "el2n": [*range(8)]})
    >>> arm = Arm("el2n", "high", "easy", "cutoff", {}, {"protect": ["kind=x"]})
    >>> shares(arm, table, 0.125)
    [0.125, 0.25, 0.375]
    """
    n = len(scores)

    def n_kept(fraction: float) -> int:
        with warnings.catch_warnings():
            # That floors keep more than was asked for is what is looked for here.
            warnings.simplefilter("ignore")
            return int(kept_by(arm, scores, fraction, seed).sum())

    multiples = (round(step * i, 6) for i in range(1, 1 + int((1 - 1e-9) / step)))
    grid = [fraction for fraction in multiples if 0 < target(n, fraction) < n]
    # Floors fall no faster than the share asked for, so once they keep more rows they always do.
    over = bisect_left(grid, True, key=lambda fraction: n_kept(fraction) > target(n, fraction))
    counts = [*(target(n, fraction) for fraction in grid[:over]), *map(n_kept, grid[over:])]
    less = np.diff(np.minimum.accumulate([n, *counts])) < 0
    found = [fraction for fraction, fewer in zip(grid, less, strict=True) if fewer]
    if not found:
        raise UserError(
            f"no multiple of {step:g} takes some of {n:,} rows away and leaves some, floors and protected rows counted;"
            " give a smaller --step, or a smaller --floor and less to --protect"
        )
    return found


def search(
    at: Callable[[float, int], Look], grid: Sequence[float], margin: float, settings: HowMuchConfig
) -> ShareSearch:
    """What `bisected` finds on one set of validation rows, and where the loss passes the margin.

    Returns what `bisected` returns, and {"estimate", "low", "high": the share that is dropped where the loss passes the margin,
    by isotonic regression through all looks, with a 95% bootstrap interval over seeds and rows, None for beyond the largest
    share that was looked at; "n_validation"}.
    """
    found, looks = bisected(at, grid, margin, settings)
    estimate, low, high = crossing_interval(looks, margin)
    return {**found, "estimate": estimate, "low": low, "high": high, "n_validation": looks[0].kept.rows}


def crossing_interval(looks: Sequence[Look], margin: float, seed: int = 0) -> list[float | None]:
    """`crossing` of the looks, and both ends of its 95% percentile interval over resampled seeds and test rows."""
    looks = sorted(looks, key=lambda one: one.fraction)
    removed = [one.removed for one in looks]
    differences = [one.kept.values - one.full.values for one in looks]  # (S, n) each
    size = looks[0].kept.size
    weights = [float(len(one)) for one in differences]
    point = crossing(removed, [float(one.sum(1).mean() / size.sum()) for one in differences], weights, margin)
    rng = np.random.default_rng(seed)
    by_row = np.stack([one.mean(0) for one in differences])  # (L, n)
    (_, rows), seeds = by_row.shape, max(map(len, differences))
    drawn = []
    for _ in range(BOOTSTRAP):
        chosen = rng.multinomial(rows, np.full(rows, 1 / rows))
        losses = by_row @ chosen / (size @ chosen)  # (L,)
        # One draw for all looks: they share the trainings on all rows. Few seeds vary too little when drawn again.
        times = rng.multinomial(seeds, np.full(seeds, 1 / seeds))
        for at, one in enumerate(differences):
            s = len(one)
            part = times[:s] / times[:s].sum() if times[:s].any() else np.full(s, 1 / s)
            losses[at] += math.sqrt(s / max(s - 1, 1)) * (part - 1 / s) @ (one.sum(1) / size.sum())
        drawn.append(crossing(removed, losses.tolist(), weights, margin))
    # Draws themselves, none in between: some of them are infinite.
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    return [round(float(one), 4) if np.isfinite(one) else None for one in (point, low, high)]


def percent(share: float) -> str:
    """A share in percent, with four digits and without trailing zeros.

    >>> percent(0.005), percent(0.375), percent(0.4531250)
    ('0.5%', '37.5%', '45.31%')
    """
    return f"{100 * share:.4g}%"
