"""The search for the largest share by heads on a frozen encoder: every training row is a validation row once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.config import HowMuchConfig
from thresher.experiments.arms import Arm
from thresher.experiments.bisection import bisected, crossing
from thresher.experiments.cross_fit import Fitted, Spread, cross_fit_interval, fitted
from thresher.experiments.share_search import BOOTSTRAP
from thresher.facts.search import ShareLook, ShareSearch
from thresher.run import Run

At = Callable[[float | None, int], Fitted]


def search_heads(
    runs: Sequence[Run],
    arm: Arm,
    grid: Sequence[float],
    settings: HowMuchConfig,
    *,
    same_steps: bool = False,
    workers: int | None = None,
) -> ShareSearch:
    """The largest share that heads on the encoder of a frozen run can do without, proven, and the largest that seems so.

    The rows are cut into K folds, a run of `runs` for each. The rows outside it are scored by heads that have seen no others,
    pruned by the arm, and trained on; the fold tests them. So every row is tested once, and the interval of a share is of all
    rows. `grid`: the shares to try, ascending, as `shares` gives them.
    """
    return search_folds(
        lambda fraction, seeds: fitted(runs, arm, fraction, seeds, same_steps, workers), grid, settings
    )


def search_folds(at: At, grid: Sequence[float], settings: HowMuchConfig) -> ShareSearch:
    """The search itself; `at` gives the heads of a share (None: all rows) with so many seeds per fold."""
    margin = settings.margin / 100
    found, looks = bisected(lambda share, seeds: look(at, share, seeds), grid, margin, settings)
    estimate, low, high = crossing_interval(looks, margin)
    rows = looks[0].spread.rows
    return {**found, "estimate": estimate, "low": low, "high": high, "n_validation": rows}


@dataclass(frozen=True)
class HeadLook:
    """What a share loses, by S heads per fold on the kept rows and S on all of those outside the fold."""

    fraction: float
    n_kept: int
    n_full: int
    spread: Spread
    by_row: NDArray[np.float64]  # (N,), mean over the seeds
    keys: tuple[str, ...]

    @property
    def removed(self) -> float:
        return round(1 - self.n_kept / self.n_full, 6)

    @property
    def weight(self) -> float:
        """Of its mean in a fit through several looks."""
        return 1 / self.spread.variance

    def facts(self, margin: float, confidence: float) -> ShareLook:
        low, high = self.spread.interval(confidence)
        return {
            "fraction": self.fraction,
            "n_kept": self.n_kept,
            "n_full": self.n_full,
            "removed": self.removed,
            "seeds": self.spread.seeds,
            "mean": self.spread.mean,
            "low": low,
            "high": high,
            "confidence": confidence,
            "shown": "not worse" if low > -margin else "worse" if high < -margin else "undecided",
        }

    def undecidable(self, margin: float, seeds: int, confidence: float) -> bool:
        """Whether so many seeds would not show it even if the loss were a standard error less than it seems."""
        optimistic = self.spread.mean + self.spread.variance**0.5
        return optimistic - self.spread.with_seeds(seeds).half(confidence) <= -margin


def look(at: At, share: float, seeds: int) -> HeadLook:
    """Compare S heads per fold on what is kept at a share with S on all rows outside the fold."""
    full, kept = at(None, seeds), at(share, seeds)
    changes = [one.astype(np.float64) - other for one, other in zip(kept.right, full.right, strict=True)]
    by_row = np.concatenate([one.mean(0) for one in changes])
    return HeadLook(
        share, kept.n_train, kept.n_full, cross_fit_interval(changes), by_row, (*full.keys, *kept.keys)
    )


def crossing_interval(looks: Sequence[HeadLook], margin: float, seed: int = 0) -> list[float | None]:
    """The share at which the loss passes the margin, by `crossing`, and both ends of its 95% percentile interval.

    Rows are drawn again, the same for all looks; what other trainings would change is drawn from a normal distribution. None:
    beyond the last look.
    """
    removed, weights = [one.removed for one in looks], [one.weight for one in looks]
    by_row = np.stack([one.by_row for one in looks])  # (L, N)
    trainings = np.array([max(0.0, one.spread.pair - one.spread.both) ** 0.5 for one in looks])
    rng, rows = np.random.default_rng(seed), by_row.shape[1]
    point = crossing(removed, [one.spread.mean for one in looks], weights, margin)
    drawn = []
    for _ in range(BOOTSTRAP):
        changes = by_row @ rng.multinomial(rows, np.full(rows, 1 / rows)) / rows
        changes += trainings * rng.normal(size=len(looks))
        drawn.append(crossing(removed, changes.tolist(), weights, margin))
    # Draws themselves, none in between: some of them are infinite.
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    return [round(float(one), 4) if np.isfinite(one) else None for one in (point, low, high)]
