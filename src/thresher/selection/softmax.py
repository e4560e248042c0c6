"""Softmax sampling."""

from __future__ import annotations

import numpy as np

from thresher.errors import UserError
from thresher.selection.registry import Numbers, Spread, strategy


@strategy("softmax", source="paper B.2, softmax sampling; Gumbel top-k: Kool et al. 2019, arXiv 1903.06059")
def softmax(wanted: Numbers, u: Numbers, spread: Spread, *, temperature: float = 1.0) -> Numbers:
    """Key = (s - max s) / temperature - log(-log u).

    The k largest keys are a draw of k rows without replacement, each draw with probability proportional to
    exp(s / temperature) among the rows that are left (Gumbel top-k). Subtracting the maximum changes no draw
    and keeps the precision of large scores. The temperature has the unit of the score: 1 is the paper's
    softmax of the score, small values approach the cut-off, large ones the random sample.

    Raises
    ------
    UserError
        the temperature is not positive.

    >>> softmax(np.array([0.0, 2.0]), np.array([0.5, 0.5]), Spread(0.0, 2.0)).round(3).tolist()
    [-1.633, 0.367]
    """
    if temperature <= 0:
        raise UserError(f"strategy 'softmax': option 'temperature' is {temperature:g}; it must be above 0")
    return (wanted - spread.high) / temperature - np.log(-np.log(u))
