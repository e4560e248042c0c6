"""Softmax sampling."""

from __future__ import annotations

import numpy as np

from thresher.errors import UserError
from thresher.selection.candidates import Candidates, Numbers
from thresher.selection.registry import strategy

LEAST = 1e-200  # keys of a smaller temperature are not finite


@strategy("softmax", source="paper B.2, softmax sampling; Gumbel top-k: Kool et al. 2019, arXiv 1903.06059")
def softmax(rows: Candidates, *, temperature: float = 1.0) -> Numbers:
    """Key = (s - max s) / temperature - log(-log u).

    The k largest keys are a draw of k rows without replacement, each draw with probability proportional to
    exp(s / temperature) among the remaining rows (Gumbel top-k). Subtracting the maximum changes no draw and keeps the
    precision of large scores. The temperature has the unit of the score: 1 is the paper's softmax, small values approach
    the cut-off, large ones the random sample.

    Raises UserError: the temperature is not a positive number, or so small that keys are not finite.

    >>> softmax(Candidates.of(np.array([0.0, 2.0]), u=[0.5, 0.5])).round(3).tolist()
    [-1.633, 0.367]
    """
    if not temperature > 0:
        raise UserError(f"strategy 'softmax': option 'temperature' is {temperature:g}; it must be above 0")
    if not LEAST <= temperature < np.inf:
        raise UserError(
            f"strategy 'softmax': option 'temperature' is {temperature:g}; it must be finite and at least {LEAST:g}"
        )
    return (rows.score - rows.score.max()) / temperature - np.log(-np.log(rows.u))
