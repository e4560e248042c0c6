"""Random rows within groups."""

from __future__ import annotations

from thresher.selection.registry import Numbers, Spread, strategy


@strategy("stratified", source="paper 3 and C.3, stratified random", reads_score=False, needs_stratify=True)
def stratified(wanted: Numbers, u: Numbers, spread: Spread) -> Numbers:
    """Key = u, compared within the groups of the `stratify` column only.

    Each group gets its share of the kept rows by the largest remainder, so the kept set has the proportions
    of the table.

    >>> import numpy as np
    >>> stratified(np.array([0.1, 0.9]), np.array([0.7, 0.2]), Spread(0.1, 0.9)).tolist()
    [0.7, 0.2]
    """
    return u
