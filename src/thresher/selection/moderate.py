"""Moderate coreset."""

from __future__ import annotations

import numpy as np

from thresher.selection.registry import Numbers, Spread, strategy


@strategy(
    "moderate",
    source="Xia et al., ICLR 2023, Moderate coreset, section 3",
    facts=("median",),
)
def moderate(wanted: Numbers, u: Numbers, spread: Spread) -> Numbers:
    """Key = - | score - median |: the rows nearest to the median score are kept, neither the easy nor the hard ones.

    The paper's score is the distance to the centre of the class (`by="prototypicality"`); any other works too. With
    `stratify` each group has its own median. The end that is pruned makes no difference, but for the median of an even
    number of rows: the middle one towards the end that is kept.

    Where the paper is ambiguous: "near" is meant in score here; its code takes as many ranks above as below.

    >>> moderate(np.array([0.0, 0.5, 0.9]), np.full(3, 0.5), Spread(0.0, 0.9, median=0.5)).tolist()
    [-0.5, -0.0, -0.4]
    """
    return -np.abs(wanted - spread.median)
