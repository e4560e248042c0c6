"""Figures with their spread or their interval."""

from __future__ import annotations

from typing import TypedDict


class Bounds(TypedDict):
    """A difference and the ends of its interval."""

    mean: float
    low: float
    high: float


class Spread(TypedDict):
    """Mean and standard deviation over seeds, and the value of each."""

    mean: float
    std: float
    values: list[float]
