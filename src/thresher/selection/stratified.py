"""Random rows within groups."""

from __future__ import annotations

from thresher.selection.candidates import Candidates, Numbers
from thresher.selection.registry import strategy


@strategy("stratified", source="paper 3 and C.3, stratified random", scores=0, needs_stratify=True)
def stratified(rows: Candidates) -> Numbers:
    """Key = u, the uniform number of the row, compared within the groups of the `stratify` column.

    As with every strategy, each group keeps its share of the rows by the largest remainder, so the kept rows have the
    proportions of the table. This one insists on the groups.

    >>> import numpy as np
    >>> stratified(Candidates.of(np.array([0.1, 0.9]), u=[0.7, 0.2])).round(6).tolist()
    [0.7, 0.2]
    """
    return rows.u
