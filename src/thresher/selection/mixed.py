"""Linear sampling by several scores."""

from __future__ import annotations

import numpy as np

from thresher.selection.candidates import Candidates, Numbers, exact_mean
from thresher.selection.linear import weights
from thresher.selection.registry import strategy


@strategy(
    "mixed",
    source="paper C.6, mixed sampling scores; keys: Efraimidis and Spirakis 2006, doi 10.1016/j.ipl.2005.11.003",
    scores=None,
)
def mixed(rows: Candidates, *, eps: float = 0.01) -> Numbers:
    """Key = log(u) / p, with p the mean over the score columns of the probabilities that linear sampling gives.

        p_i = 1/M sum over columns m of  w_im / (mean of w_m over all rows),    w_m the weights of `linear`

    This is N times the paper's mean of the sampling scores that sum to 1, a factor that changes no draw. Each column is
    oriented by its own hard end: `--by vog,entropy --strategy mixed`. With one column the draw is that of `linear`.

    Raises UserError: eps is outside (0, 1].

    >>> rows = Candidates.of(np.array([[0.0, 1.0], [1.0, 1.0]]), u=[0.5, 0.5])
    >>> mixed(rows, eps=0.5).round(3).tolist()
    [-0.832, -0.594]
    """
    shares = [
        weights(score, score, eps, "mixed") / weights(np.array([exact_mean(score)]), score, eps, "mixed")
        for score in rows.scores
    ]
    return np.log(rows.u) / np.mean(shares, axis=0)
