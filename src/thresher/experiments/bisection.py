"""Bisection for the largest share that is shown to lose less than a margin, with its looks allowed for."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from thresher.config import HowMuchConfig
from thresher.experiments.looks import confidences, planned
from thresher.facts.search import Bisection
from thresher.facts.search import ShareLook as LookFacts


class ShareLook(Protocol):
    """What is known of a share after some trainings."""

    @property
    def removed(self) -> float:
        """The share of the rows that is dropped."""

    @property
    def weight(self) -> float:
        """Of its mean in a fit through several looks."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Of the trainings."""

    def facts(self, margin: float, confidence: float) -> LookFacts:
        """{"fraction", "mean", "low", "high", "shown", ...}: an interval, and what it shows about a margin."""

    def undecidable(self, margin: float, seeds: int, confidence: float) -> bool:
        """Whether even so many seeds are not going to show that the margin holds."""


L = TypeVar("L", bound=ShareLook)


def bisected(
    at: Callable[[float, int], L], grid: Sequence[float], margin: float, settings: HowMuchConfig
) -> tuple[Bisection, list[L]]:
    """The largest fraction of a grid that is shown to be not worse than full data, by bisection; and the looks, ascending.

    A fraction is looked at with `first_seeds` trainings. As long as the interval of its paired difference to full data
    lies neither above -margin (not worse) nor below it (worse), trainings are added, up to `most_seeds`, unless they cannot
    show it; what stays undecided counts as not shown. Bisection takes it that more pruning is not better; of F fractions it
    tries D = ceil(log2(F + 1)) at most.

        confidence of a fraction = 1 - 0.05 / D          (Bonferroni), shared among its looks by `confidences`

    So a share that loses the margin or more is called not worse in at most 1 of 40 searches.

    `at(fraction, seeds)` gives a look; `grid` is what `shares` gives; `margin` is the loss that may be, in the unit of the looks.

    Returns {"fraction": the answer, as `select` takes it for `prune`, 0 where nothing is shown; "removed": the share of the
    rows that it drops; "candidate", "candidate_removed": the largest fraction that was tried with an estimated loss within the
    margin; "looks", "trainings"}.

    Source: Lan and DeMets 1983 for the looks (`confidences`), Dunn 1961 for the fractions.
    """
    plan = planned(settings.first_seeds, settings.most_seeds)
    levels = confidences(plan, 1 - 0.05 / math.ceil(math.log2(len(grid) + 1)))
    looks: dict[float, tuple[L, LookFacts]] = {}
    low, high = -1, len(grid)
    while high - low > 1:
        middle = (low + high) // 2
        for seeds, level in zip(plan, levels, strict=True):
            found = at(grid[middle], seeds)
            facts = found.facts(margin, level)
            if facts["shown"] != "undecided" or found.undecidable(margin, plan[-1], levels[-1]):
                break
        looks[grid[middle]] = found, facts
        low, high = (middle, high) if facts["shown"] == "not worse" else (low, middle)
    order = sorted(looks)
    tried = [looks[fraction][0] for fraction in order]
    fraction = grid[low] if low >= 0 else 0.0
    means = [looks[one][1]["mean"] for one in order]
    fit = falling([one.removed for one in tried], means, [one.weight for one in tried])[1:]
    within = [one for one, change in zip(order, fit, strict=True) if change > -margin]
    candidate = max([fraction, *within])
    return {
        "fraction": fraction,
        "removed": looks[fraction][0].removed if fraction else 0.0,
        "candidate": candidate,
        "candidate_removed": looks[candidate][0].removed if candidate else 0.0,
        "looks": [looks[fraction][1] for fraction in order],
        "trainings": len({key for one in tried for key in one.keys}),
    }, tried


def falling(
    shares: Sequence[float], changes: Sequence[float], weights: Sequence[float]
) -> NDArray[np.float64]:
    """An isotonic fit of the change in accuracy at some shares, ascending, through 0 at share 0: (1 + L,).

    >>> falling([0.2, 0.4, 0.6], [-0.002, 0.0, -0.01], [1, 1, 1]).round(4).tolist()
    [0.0, -0.001, -0.001, -0.01]
    """
    from sklearn.isotonic import IsotonicRegression

    x, y = np.array([0.0, *shares]), np.array([0.0, *changes])
    # Far heavier than any look, so that it stays where it is.
    first = 1e9 * max(weights)
    fit: NDArray[np.float64] = IsotonicRegression(increasing=False).fit_transform(
        x, y, sample_weight=np.array([first, *weights])
    )
    return fit


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
    x, fit = np.array([0.0, *fractions]), falling(fractions, losses, weights)
    below = np.flatnonzero(fit < -margin)
    if not len(below):
        return math.inf
    after = int(below[0])
    share = (fit[after - 1] + margin) / (fit[after - 1] - fit[after])
    return round(float(x[after - 1] + share * (x[after] - x[after - 1])), 4)
