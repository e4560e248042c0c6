"""Linear sampling by several scores."""

from __future__ import annotations

import numpy as np

from thresher.selection.linear import weights
from thresher.selection.registry import Numbers, Spread, strategy


@strategy(
    "mixed",
    source="paper C.6, mixed sampling scores; keys: Efraimidis and Spirakis 2006, doi 10.1016/j.ipl.2005.11.003",
    several=True,
    facts=("mean",),
)
def mixed(wanted: Numbers, u: Numbers, spread: tuple[Spread, ...], *, eps: float = 0.01) -> Numbers:
    """Key = log(u) / p, with p the mean over the score columns of the probabilities that linear sampling gives.

        p_i = 1/M sum over columns m of  w_im / (mean of w_m over all rows),    w_m the weights of `linear`

    which is N times the paper's mean of the sampling scores that sum to 1: a factor that changes no draw. `wanted`
    (n, M). Each column is turned to its own hard end: `--by vog,entropy --strategy mixed`. With one column it draws what
    `linear` draws.

    Raises
    ------
    UserError
        eps is outside (0, 1].

    >>> spreads = (Spread(0.0, 1.0, mean=0.5), Spread(0.0, 1.0, mean=0.5))
    >>> mixed(np.array([[0.0, 1.0], [1.0, 1.0]]), np.array([0.5, 0.5]), spreads, eps=0.5).round(3).tolist()
    [-0.693, -0.52]
    """
    shares = [
        weights(wanted[:, m], one, eps, "mixed") / weights(np.array([one.mean]), one, eps, "mixed")
        for m, one in enumerate(spread)
    ]
    return np.log(u) / np.mean(shares, axis=0)
