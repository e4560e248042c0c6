"""Numbers inside a figure, with as many digits as a screen shows."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


def rounded(values: npt.ArrayLike) -> list[float | None]:
    """Coordinates, (N,); None, which Plotly leaves out, in place of what is no finite number: a training that diverged.

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
