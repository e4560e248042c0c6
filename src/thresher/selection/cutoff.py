"""Hard cut-off."""

from __future__ import annotations

from thresher.selection.candidates import Candidates, Numbers
from thresher.selection.registry import strategy


@strategy("cutoff", source="paper B.2, hard cut-off")
def cutoff(rows: Candidates) -> Numbers:
    """Key = the score, oriented so that the end to keep is the large one. Equal scores are ordered by the hash of the id.

    >>> import numpy as np
    >>> cutoff(Candidates.of(np.array([0.1, 0.9]))).tolist()
    [0.1, 0.9]
    """
    return rows.score
