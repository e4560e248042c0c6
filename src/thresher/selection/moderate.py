"""Moderate coreset."""

from __future__ import annotations

import numpy as np

from thresher.selection.candidates import Candidates, Numbers
from thresher.selection.registry import strategy


@strategy("moderate", source="Xia et al., ICLR 2023, Moderate coreset, section 3")
def moderate(rows: Candidates) -> Numbers:
    """Key = - | score - median |: the rows nearest to the median score are kept, neither the easy nor the hard ones.

    The paper's score is the distance to the centre of the class (`by="prototypicality"`); any other works too. With
    `stratify` each group has its own median. The pruned end matters only for the median of an even number of rows: it is
    the middle one towards the end that is kept.

    Where the paper is ambiguous: "near" is a distance in score here; its code takes as many ranks above as below.

    >>> moderate(Candidates.of(np.array([0.0, 0.5, 0.9]))).tolist()
    [-0.5, -0.0, -0.4]
    """
    key = np.empty_like(rows.score)
    for group in rows.by_group():
        score = rows.score[group]
        middle = len(score) // 2
        key[group] = -np.abs(score - np.partition(score, middle)[middle])
    return key
