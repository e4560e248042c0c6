"""Linear sampling, the paper's production sampler."""

from __future__ import annotations

import numpy as np

from thresher.errors import UserError
from thresher.selection.registry import Numbers, Spread, strategy


@strategy(
    "linear",
    source="paper C.3, linear sampling; keys: Efraimidis and Spirakis 2006, doi 10.1016/j.ipl.2005.11.003",
)
def linear(wanted: Numbers, u: Numbers, spread: Spread, *, eps: float = 0.01) -> Numbers:
    """Key = log(u) / w, with the weights w = eps + (1 - eps) (s - min s) / (max s - min s).

    The k largest keys are a weighted random draw of k rows without replacement. The paper leaves eps open;
    the default 0.01 gives the easiest row a hundredth of the weight of the hardest, so that no row is out of
    reach. With equal scores all weights are equal and the draw is the random one.

    Raises
    ------
    UserError
        eps is outside (0, 1].

    >>> linear(np.array([0.0, 1.0]), np.array([0.5, 0.5]), Spread(0.0, 1.0)).round(3).tolist()
    [-69.315, -0.693]
    """
    return np.log(u) / weights(wanted, spread, eps, "linear")


def weights(wanted: Numbers, spread: Spread, eps: float, strategy: str) -> Numbers:
    """w = eps + (1 - eps) (s - min s) / (max s - min s), all 1 where the scores are equal.

    Raises
    ------
    UserError
        eps is outside (0, 1].

    >>> weights(np.array([0.0, 1.0]), Spread(0.0, 1.0), 0.01, "linear").tolist()
    [0.01, 1.0]
    """
    if not 0 < eps <= 1:
        raise UserError(f"strategy '{strategy}': option 'eps' is {eps:g}; it must be above 0 and at most 1")
    span = spread.high - spread.low
    share = (wanted - spread.low) / span if span > 0 else np.ones_like(wanted)
    return eps + (1 - eps) * share
