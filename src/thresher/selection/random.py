"""Random rows: the baseline every other strategy has to beat."""

from __future__ import annotations

from thresher.selection.registry import Numbers, Spread, strategy


@strategy("random", source="paper 2.2, the random baseline", reads_score=False)
def random(wanted: Numbers, u: Numbers, spread: Spread) -> Numbers:
    """Key = u, the uniform number of the row: a simple random sample without replacement.

    >>> import numpy as np
    >>> random(np.array([0.1, 0.9]), np.array([0.7, 0.2]), Spread(0.1, 0.9)).tolist()
    [0.7, 0.2]
    """
    return u
