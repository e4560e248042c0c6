"""Linear sampling, the paper's production sampler."""

from __future__ import annotations

import numpy as np

from thresher.errors import UserError
from thresher.selection.candidates import Candidates, Numbers
from thresher.selection.registry import strategy


@strategy(
    "linear",
    source="paper C.3, linear sampling; keys: Efraimidis and Spirakis 2006, doi 10.1016/j.ipl.2005.11.003",
)
def linear(rows: Candidates, *, eps: float = 0.01) -> Numbers:
    """Key = log(u) / w, with the weights w = eps + (1 - eps) (s - min s) / (max s - min s).

    The k largest keys are a weighted random draw of k rows without replacement. The paper leaves eps open; with the default
    of 0.01 the easiest row has a hundredth of the weight of the hardest, so every row can be drawn. Equal scores give equal
    weights, and the draw is the random one.

    Raises UserError: eps is outside (0, 1].

    >>> linear(Candidates.of(np.array([0.0, 1.0]), u=[0.5, 0.5])).round(3).tolist()
    [-69.315, -0.693]
    """
    return np.log(rows.u) / weights(rows.score, rows.score, eps, "linear")


def weights(values: Numbers, score: Numbers, eps: float, strategy: str) -> Numbers:
    """w = eps + (1 - eps) (v - min s) / (max s - min s) of values v (n,) on the scale of the scores s; 1 if all s are equal.

    Raises UserError: eps is outside (0, 1].

    >>> score = np.array([0.0, 1.0])
    >>> weights(score, score, 0.01, "linear").tolist()
    [0.01, 1.0]
    """
    if not 0 < eps <= 1:
        raise UserError(f"strategy '{strategy}': option 'eps' is {eps:g}; it must be above 0 and at most 1")
    low, high = score.min(), score.max()
    share = (values - low) / (high - low) if high > low else np.ones_like(values)
    return eps + (1 - eps) * share
