"""Looking several times at a comparison that grows by seeds, without being wrong more often than by one look."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

GROWTH = 1.6  # seeds of a look, in those of the look before


def planned(seeds: int, most: int) -> tuple[int, ...]:
    """The seeds per arm at each look: `seeds`, then 1.6 times as many, up to `most`. One look where `most` is no more.

    >>> planned(3, 10), planned(2, 10), planned(5, 3)
    ((3, 5, 8, 10), (2, 4, 7, 10), (5,))
    """
    plan = [seeds]
    while plan[-1] < most:
        plan.append(min(most, math.ceil(GROWTH * plan[-1])))
    return tuple(plan)


@cache
def confidences(plan: tuple[int, ...], confidence: float = 0.95) -> tuple[float, ...]:
    """The level of the interval at each planned look, so that all of them together hold the truth with `confidence`.

        t_k = S_k / S_K                               seeds of look k, as a share of those of the last
        a(t) = (1 - confidence) ln(1 + (e - 1) t)     the error that is spent up to t, Pocock-type
        P(|Z_j| < c_j for j < k, |Z_k| >= c_k) = a(t_k) - a(t_(k-1))          gives c_k, one after the other
        level_k = 1 - 2 P(Z > c_k)

    Z_1..Z_K are normal with correlation sqrt(S_j / S_k), what means of S_j and S_k independent trainings have. Looks at the
    same test rows are correlated more, and then each side of the intervals fails no more often (Slepian 1962). The level
    is what `paired_interval` takes: its degrees of freedom are those of the look. Looks that are left out, because an earlier one
    decided or none can decide, cost nothing.

    Source: Lan and DeMets 1983 (spending, and its Pocock-type function); Armitage, McPherson and Rowe 1969 (the integrals);
    Jennison and Turnbull 2000, ch. 7 and 9 (repeated confidence intervals). Coverage: `tests/experiments/test_decision.py`.

    >>> confidences((3,))
    (0.95,)
    >>> [round(level, 4) for level in confidences((3, 5, 8, 10))]
    [0.9792, 0.9835, 0.9801, 0.9822]
    """
    if len(plan) == 1:
        return (confidence,)
    # SciPy takes a second to import, which finished steps need not wait for.
    from scipy import optimize, stats

    times = np.array(plan) / plan[-1]
    spent = (1 - confidence) * np.log1p((math.e - 1) * times)
    nodes, weights = np.polynomial.legendre.leggauss(64)
    # Where the sum of the trainings so far stands if no look has stopped it, and how likely it stands there.
    place, mass = np.zeros(1), np.ones(1)
    found, before, error = [], 0.0, 0.0
    for now, total in zip(times, spent, strict=True):
        scale = math.sqrt(now - before)

        def too_much(
            c: float,
            now: float = now,
            scale: float = scale,
            place: np.ndarray = place,
            mass: np.ndarray = mass,
            wanted: float = total - error,
        ) -> float:
            edge = c * math.sqrt(now)
            outside = stats.norm.sf((edge - place) / scale) + stats.norm.cdf((-edge - place) / scale)
            return float(mass @ outside) - wanted

        critical = optimize.brentq(too_much, 0, 20)
        found.append(float(1 - 2 * stats.norm.sf(critical)))
        edge = critical * math.sqrt(now)
        here = edge * nodes
        mass = edge * weights * (stats.norm.pdf((here[:, None] - place) / scale) / scale @ mass)
        place, before, error = here, now, total
    return tuple(found)
