"""Numbers inside a figure, with as many digits as a screen shows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def rounded(values: npt.ArrayLike) -> list[Any]:
    """Coordinates.

    >>> rounded([0.123456, 1])
    [0.1235, 1.0]
    """
    found: list[Any] = np.round(np.asarray(values, np.float64), 4).tolist()
    return found


def in_percent(share: float) -> float:
    """A share in percent.

    >>> in_percent(0.123456)
    12.346
    """
    return round(100 * share, 3)
