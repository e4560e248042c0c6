"""Numbers in a figure, rounded to what a screen can show."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def rounded(values: npt.ArrayLike) -> list[float | None]:
    """Coordinates, (N,); NaN and infinity (of a training that diverged) become None, which Plotly leaves out.

    >>> rounded([0.123456, 1, float("nan")])
    [0.1235, 1.0, None]
    """
    found = np.round(np.asarray(values, np.float64), 4).tolist()
    return [one if math.isfinite(one) else None for one in found]


def in_percent(share: float) -> float:
    """A share in percent.

    >>> in_percent(0.123456)
    12.346
    """
    return round(100 * share, 3)
