"""How much can go: the largest share of the rows without which accuracy is not worse than with all, by few trainings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from thresher.config import HowMuchConfig
from thresher.rows import read_rows
from thresher.run_folder import read_manifest
from thresher.study.arms import Arm, kept_by, scores_of
from thresher.study.cell import new_cell
from thresher.study.cells import predictions, run_cells
from thresher.study.intervals import paired_interval
from thresher.training.recipe import configs, steps_of

BOOTSTRAP = 1000


@dataclass(frozen=True)
class Look:
    """What S trainings on the kept rows showed beside S on all rows: the classes predicted for the test rows, (S, n) each."""

    fraction: float
    kept: NDArray[np.int32]
    full: NDArray[np.int32]
    truth: NDArray[np.int64]
    keys: tuple[str, ...]
    steps: int

    def facts(self, margin: float) -> dict[str, Any]:
        """The paired difference with its 95% interval, and what it says about a margin (from 0 to 1)."""
        found = paired_interval(self.kept, self.full, self.truth)
        shown = "not worse" if found["low"] > -margin else "worse" if found["high"] < -margin else "undecided"
        difference = {name: found[name] for name in ("mean", "low", "high")}  # type: ignore[literal-required]
        return {"fraction": self.fraction, "seeds": len(self.kept), **difference, "shown": shown}


def look(
    run: Path, arm: Arm, fraction: float, seeds: int, same_steps: bool = False, workers: int | None = None
) -> Look:
    """Train S models on what the arm keeps at a fraction and S on all rows, paired by seed, and test them."""
    _, recipe = configs(read_manifest(run))
    test = read_rows(run / "test.parquet")
    ids = pl.read_parquet(run / "rows.parquet", columns=["id"])["id"]
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
        predictions(run, results[seeds:]),
        predictions(run, results[:seeds]),
        test.labels(),
        tuple(result["key"] for result in results),
        sum(result["steps"] for result in results),
    )


def search(at: Callable[[float, int], Look], settings: HowMuchConfig) -> dict[str, Any]:
    """The largest fraction of a grid that is shown to be not worse than full data, by bisection.

    A fraction is looked at with `first_seeds` trainings. As long as the 95% interval of its paired difference to full data
    lies neither above -margin (not worse) nor below it (worse), trainings are added, half as many again, up to `most_seeds`;
    what stays undecided counts as not shown. Bisection takes it that more pruning is not better; it looks at log2 of the
    grid's fractions. The looks are not corrected for their number: the answer is to be confirmed on rows that took no part.

    `at(fraction, seeds)` gives a `Look`.

    Returns
    -------
    {"fraction": the answer, 0 where nothing is shown; "estimate", "low", "high": where the loss passes the margin, by
    isotonic regression through all looks, with a 95% bootstrap interval over seeds and rows, None for beyond the largest share
    that was looked at; "looks", "trainings", "steps"}.
    """
    margin = settings.margin / 100
    grid = [round(settings.step * i, 6) for i in range(1, 1 + int((1 - 1e-9) / settings.step))]
    looks: list[Look] = []
    low, high = -1, len(grid)
    while high - low > 1:
        middle = (low + high) // 2
        seeds = settings.first_seeds
        found = at(grid[middle], seeds)
        while found.facts(margin)["shown"] == "undecided" and seeds < settings.most_seeds:
            seeds = min(settings.most_seeds, seeds + max(1, seeds // 2))
            found = at(grid[middle], seeds)
        looks.append(found)
        low, high = (middle, high) if found.facts(margin)["shown"] == "not worse" else (low, middle)
    estimate, bottom, top = crossing_interval(looks, margin)
    keys = {key for one in looks for key in one.keys}
    return {
        "fraction": grid[low] if low >= 0 else 0.0,
        "estimate": estimate,
        "low": bottom,
        "high": top,
        "looks": [one.facts(margin) for one in sorted(looks, key=lambda one: one.fraction)],
        "trainings": len(keys),
        "n_validation": len(looks[0].truth),
    }


def crossing(
    fractions: Sequence[float], losses: Sequence[float], weights: Sequence[float], margin: float
) -> float:
    """Where a curve that only falls passes -margin: isotonic fit through (0, 0) and the points, straight in between.

    Infinite where no point lies below it: the curve passes it beyond the last one, if at all.

    >>> crossing([0.2, 0.4, 0.6], [0.0, -0.004, -0.012], [1, 1, 1], 0.008)
    0.5
    >>> crossing([0.2, 0.4], [0.0, -0.004], [1, 1], 0.008)
    inf
    """
    x = np.array([0.0, *fractions])
    fit = IsotonicRegression(increasing=False).fit_transform(
        x, np.array([0.0, *losses]), sample_weight=[1e9, *weights]
    )
    below = np.flatnonzero(fit < -margin)
    if not len(below):
        return math.inf
    after = int(below[0])
    share = (fit[after - 1] + margin) / (fit[after - 1] - fit[after])
    return round(float(x[after - 1] + share * (x[after] - x[after - 1])), 4)


def crossing_interval(looks: Sequence[Look], margin: float, seed: int = 0) -> list[float | None]:
    """`crossing` of the looks, and both ends of its 95% percentile interval over resampled seeds and test rows."""
    looks = sorted(looks, key=lambda one: one.fraction)
    fractions = [one.fraction for one in looks]
    differences = [
        (one.kept == one.truth).astype(np.float64) - (one.full == one.truth) for one in looks
    ]  # (S, n) each
    weights = [float(len(one)) for one in differences]
    point = crossing(fractions, [float(one.mean()) for one in differences], weights, margin)
    rng = np.random.default_rng(seed)
    rows = differences[0].shape[1]
    drawn = []
    for _ in range(BOOTSTRAP):
        share = rng.multinomial(rows, np.full(rows, 1 / rows)) / rows
        losses = [float(one[rng.integers(len(one), size=len(one))].mean(0) @ share) for one in differences]
        drawn.append(crossing(fractions, losses, weights, margin))
    # Draws themselves, none in between: some of them are infinite.
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    return [round(float(one), 4) if np.isfinite(one) else None for one in (point, low, high)]


def sentence(entry: dict[str, Any]) -> str:
    """The answer in words."""
    margin, n = f"{entry['margin']:g} points", f"{entry['n_validation']:,}"
    cost = f"{entry['trainings']} trainings of the same {'steps' if entry['same_steps'] else 'epochs'}"
    if not entry["fraction"]:
        best = min(entry["looks"], key=lambda one: one["fraction"])
        return (
            f"No share of the rows is shown to be free at a margin of {margin}: without {best['fraction']:.0%} accuracy on "
            f"{n} validation rows is {_points(best)} points to all rows ({cost})."
        )
    chosen = next(one for one in entry["looks"] if one["fraction"] == entry["fraction"])
    most = max(one["fraction"] for one in entry["looks"])
    place = [
        f"more than {most:.0%}" if entry[name] is None else f"{entry[name]:.0%}"
        for name in ("estimate", "low", "high")
    ]
    told = (
        f"{entry['fraction']:.0%} of the rows can go at a margin of {margin}: {_points(chosen)} points of accuracy to all rows "
        f"on {n} validation rows cut from the training rows, {chosen['seeds']} seeds. The loss passes the margin at "
        f"{place[0]} [{place[1]}, {place[2]}]; {cost}."
    )
    confirmed = entry.get("confirmed")
    if confirmed:
        holds = "confirmed" if confirmed["shown"] == "not worse" else f"not confirmed, {confirmed['shown']}"
        told += f" On the {confirmed['n_test']:,} test rows, looked at once: {_points(confirmed)} points ({holds})."
    return told


def _points(found: dict[str, Any]) -> str:
    return f"{100 * found['mean']:+.2f} [{100 * found['low']:+.2f}, {100 * found['high']:+.2f}]"
