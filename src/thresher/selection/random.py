"""Random rows: the baseline that every other strategy has to beat."""

from __future__ import annotations

from thresher.selection.candidates import Candidates, Numbers
from thresher.selection.registry import strategy


@strategy("random", source="paper 2.2, the random baseline", scores=0)
def random(rows: Candidates) -> Numbers:
    """Key = u, the uniform number of the row: a simple random sample without replacement.

    >>> import numpy as np
    >>> random(Candidates.of(np.array([0.1, 0.9]), u=[0.7, 0.2])).round(6).tolist()
    [0.7, 0.2]
    """
    return rows.u
