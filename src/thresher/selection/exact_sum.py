"""Sums of floating-point numbers without rounding, so that the order of the rows changes no bit of a mean."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

# Every finite float64 is a whole number of units of 2**-_UNIT.
_UNIT = 1074 + 53
_HALF = 27
# Sums of 27-bit integers stay exact in a float64 up to 2**26 of them.
_AT_ONCE = 1 << 26


def exact_sum(values: NDArray[np.float64]) -> int:
    """The sum of finite numbers in units of 2**-1127, a whole number; sums of parts add up to the sum.

    Every number is an integer of 53 bits times a power of two; those of equal power are summed as two halves that a
    float64 holds exactly.

    >>> exact_mean(exact_sum(np.array([1e300, 1.0])) + exact_sum(np.array([-1e300])), 2)
    0.5
    """
    units = 0
    for start in range(0, len(values), _AT_ONCE):
        fraction, exponent = np.frexp(values[start : start + _AT_ONCE])
        whole = (fraction * 2.0**53).astype(np.int64)
        power = exponent.astype(np.int64) - 53 + _UNIT  # value = whole * 2**power units
        upper = np.bincount(power, weights=(whole >> _HALF).astype(np.float64))
        lower = np.bincount(power, weights=(whole & ((1 << _HALF) - 1)).astype(np.float64))
        for place in np.flatnonzero((upper != 0) | (lower != 0)).tolist():
            units += ((int(upper[place]) << _HALF) + int(lower[place])) << place
    return units


def exact_mean(units: int, count: int) -> float:
    """The mean of `count` numbers with that exact sum, rounded once.

    >>> exact_mean(exact_sum(np.full(10, 0.1)), 10)
    0.1
    """
    return float(Fraction(units, count << _UNIT))
