"""Hard cut-off."""

from __future__ import annotations

from thresher.selection.registry import Numbers, Spread, strategy


@strategy("cutoff", source="paper B.2, hard cut-off")
def cutoff(wanted: Numbers, u: Numbers, spread: Spread) -> Numbers:
    """Key = the score itself, turned so that the end to keep is the large one.

    Equal scores are told apart by the hash of the row id.

    >>> import numpy as np
    >>> cutoff(np.array([0.1, 0.9]), np.array([0.5, 0.5]), Spread(0.1, 0.9)).tolist()
    [0.1, 0.9]
    """
    return wanted
