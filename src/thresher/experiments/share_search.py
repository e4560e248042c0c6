"""The search for the largest share of the rows that can be dropped without losing more than a margin, by few trainings."""

from __future__ import annotations

import math
import warnings
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.config import HowMuchConfig
from thresher.errors import UserError
from thresher.experiments.arms import Arm, kept_by, scores_of
from thresher.experiments.cell import new_cell
from thresher.experiments.cells import predictions, run_cells
from thresher.experiments.intervals import paired_interval
from thresher.rows import read_rows
from thresher.run import Run, parquet
from thresher.selection.request import target
from thresher.training.recipe import steps_of
from thresher.wording import interval_text

BOOTSTRAP = 1000


@dataclass(frozen=True)
class Look:
    """S trainings on the kept rows and S on all rows: the predicted classes of the test rows, (S, n) each.

    `fraction` is what the selection was asked to prune; of `n_full` rows it kept `n_kept`, the most where the seeds differ.
    """

    fraction: float
    n_kept: int
    n_full: int
    kept: NDArray[np.int32]
    full: NDArray[np.int32]
    truth: NDArray[np.int64]
    keys: tuple[str, ...]
    steps: int

    @property
    def removed(self) -> float:
        """The share that is dropped, 1 - n_kept / n_full: less than the fraction if floors and protected rows keep more."""
        return round(1 - self.n_kept / self.n_full, 6)

    def facts(self, margin: float) -> dict[str, Any]:
        """How many rows are dropped; the paired difference with its 95% interval, and its meaning for a margin (0 to 1)."""
        found = paired_interval(self.kept, self.full, self.truth)
        shown = "not worse" if found["low"] > -margin else "worse" if found["high"] < -margin else "undecided"
        difference = {name: found[name] for name in ("mean", "low", "high")}  # type: ignore[literal-required]
        counts = {"n_kept": self.n_kept, "n_full": self.n_full, "removed": self.removed}
        return {
            "fraction": self.fraction,
            **counts,
            "seeds": len(self.kept),
            **difference,
            "shown": shown,
        }


def look(
    run: Run, arm: Arm, fraction: float, seeds: int, same_steps: bool = False, workers: int | None = None
) -> Look:
    """Train S models on what the arm keeps at a fraction and S on all rows, paired by seed, and test them."""
    recipe = run.config.train
    test = read_rows(run.test_file)
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
        predictions(run, results[seeds:]),
        predictions(run, results[:seeds]),
        test.labels(),
        tuple(result["key"] for result in results),
        sum(result["steps"] for result in results),
    )


def shares(arm: Arm, scores: pl.DataFrame, step: float, seed: int = 0) -> list[float]:
    """The multiples of `step` below 1 that are worth a look: each keeps fewer rows than the one before it.

        n_kept(f) = max(round((1 - f) N), rows that floors and protection keep at f)        of the N rows of `scores`

    The first keeps fewer than N. Where floors and protection take over, n_kept falls no further and the grid ends.

    Raises
    ------
    UserError
        no share drops rows; a column that the arm reads is missing or not finite.

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
    at: Callable[[float, int], Look], grid: Sequence[float], settings: HowMuchConfig
) -> dict[str, Any]:
    """The largest fraction of a grid that is shown to be not worse than full data, by bisection.

    A fraction is looked at with `first_seeds` trainings. As long as the 95% interval of its paired difference to full data
    lies neither above -margin (not worse) nor below it (worse), trainings are added, half as many again, up to `most_seeds`;
    what stays undecided counts as not shown. Bisection takes it that more pruning is not better; it looks at log2 of the
    grid's fractions. The looks are not corrected for their number: the answer is to be confirmed on rows that took no part.
    Where every share loses just the margin, something is called not worse in 8 of 100 searches if seeds change accuracy by
    0.1 points, in 24 of 100 if by 1.4 (simulated, default settings, 2,000 and 3,000 rows).

    `at(fraction, seeds)` gives a `Look`; `grid` is what `shares` gives.

    Returns
    -------
    {"fraction": the answer, as `select` takes it for `prune`, 0 where nothing is shown; "removed": the share of the rows that
    it drops; "estimate", "low", "high": the share that is dropped where the loss passes the margin, by isotonic regression
    through all looks, with a 95% bootstrap interval over seeds and rows, None for beyond the largest share that was looked at;
    "looks", "trainings", "n_validation"}.
    """
    margin = settings.margin / 100
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
    chosen = next((one for one in looks if low >= 0 and one.fraction == grid[low]), None)
    estimate, bottom, top = crossing_interval(looks, margin)
    keys = {key for one in looks for key in one.keys}
    return {
        "fraction": chosen.fraction if chosen else 0.0,
        "removed": chosen.removed if chosen else 0.0,
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
    """Where a falling curve crosses -margin: an isotonic fit through (0, 0) and the points, linear in between.

    Infinite where no point lies below it: the curve passes it beyond the last one, if at all.

    >>> crossing([0.2, 0.4, 0.6], [0.0, -0.004, -0.012], [1, 1, 1], 0.008)
    0.5
    >>> crossing([0.2, 0.4], [0.0, -0.004], [1, 1], 0.008)
    inf
    """
    from sklearn.isotonic import IsotonicRegression

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
    removed = [one.removed for one in looks]
    differences = [
        (one.kept == one.truth).astype(np.float64) - (one.full == one.truth) for one in looks
    ]  # (S, n) each
    weights = [float(len(one)) for one in differences]
    point = crossing(removed, [float(one.mean()) for one in differences], weights, margin)
    rng = np.random.default_rng(seed)
    by_row = np.stack([one.mean(0) for one in differences])  # (L, n)
    (_, rows), seeds = by_row.shape, max(map(len, differences))
    drawn = []
    for _ in range(BOOTSTRAP):
        losses = by_row @ rng.multinomial(rows, np.full(rows, 1 / rows)) / rows  # (L,)
        # One draw for all looks: they share the trainings on all rows. Few seeds vary too little when drawn again.
        times = rng.multinomial(seeds, np.full(seeds, 1 / seeds))
        for at, one in enumerate(differences):
            s = len(one)
            part = times[:s] / times[:s].sum() if times[:s].any() else np.full(s, 1 / s)
            losses[at] += math.sqrt(s / max(s - 1, 1)) * (part - 1 / s) @ one.mean(1)
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


def sentence(entry: dict[str, Any]) -> str:
    """The answer in words: the share of rows that can be dropped, the fraction to prune by, and the rows it was shown on."""
    margin, n = f"{entry['margin']:g} points", f"{entry['n_validation']:,}"
    cost = f"{entry['trainings']} trainings of the same {'steps' if entry['same_steps'] else 'epochs'}"
    if not entry["fraction"]:
        best = min(entry["looks"], key=lambda one: one["fraction"])
        return (
            f"No share of the rows is shown to be free at a margin of {margin}: without {percent(best['removed'])} accuracy on "
            f"{n} validation rows is {interval_text(best)} points to all rows ({cost})."
        )
    chosen = next(one for one in entry["looks"] if one["fraction"] == entry["fraction"])
    most = max(one["removed"] for one in entry["looks"])
    place = [
        f"more than {percent(most)}" if entry[name] is None else percent(entry[name])
        for name in ("estimate", "low", "high")
    ]
    held = chosen["n_kept"] > target(chosen["n_full"], chosen["fraction"])
    by = f"prune {entry['fraction']:g}" + ("; floors and protected rows keep the others" if held else "")
    sentence = (
        f"{percent(entry['removed'])} of the rows can be dropped ({by}) at a margin of {margin}: {interval_text(chosen)} points"
        f" of accuracy to all rows on {n} validation rows cut from the training rows, {chosen['seeds']} seeds. The loss passes"
        f" the margin at {place[0]} [{place[1]}, {place[2]}]; {cost}."
    )
    confirmed = entry.get("confirmed")
    if confirmed:
        holds = "confirmed" if confirmed["shown"] == "not worse" else f"not confirmed, {confirmed['shown']}"
        return (
            f"{sentence} On the {confirmed['n_test']:,} test rows, which took no part in the search, without"
            f" {percent(confirmed['removed'])} of all training rows: {interval_text(confirmed)} points ({holds})."
        )
    return (
        f"{sentence} Not confirmed on other rows: the interval is of the best of {len(entry['looks'])} shares that were tried,"
        " which it does not allow for."
    )
