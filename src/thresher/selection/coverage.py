"""Coverage-centric selection."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from thresher.errors import UserError
from thresher.selection.candidates import Candidates, Keys, Numbers
from thresher.selection.registry import strategy
from thresher.selection.window import first_at_kept_end

MOST_STRATA = 10_000


@strategy(
    "coverage",
    source="Zheng, Liu, Lai and Prakash, ICLR 2023 (arXiv 2210.15809), section 4, algorithm 1 (CCS)",
)
def coverage(rows: Candidates, *, beta: float = 0.1, strata: float = 50.0) -> Keys:
    """Key = u within a layer of the score's range: random rows of every difficulty, without the hardest.

    The round(beta n) rows at the end that is kept are left out, the range of the others is cut into `strata` layers of
    equal width, and the budget m is shared from the smallest layer up: a layer gets min(its rows, m / layers left, rounded
    down), and m shrinks by it. So small layers are kept whole and large ones share the rest evenly. With `stratify` all of
    this happens within each group. If more rows are needed than remain, rows that were left out return at random.

    Where the paper leaves it open: beta depends on data and budget (0 to 0.4 there); layers of equal size are taken in the
    order of the score.

    Raises UserError: beta is outside [0, 1), or strata is not a whole number from 1 to 10,000.

    >>> rows = Candidates.of(np.array([0.0, 0.4, 0.6, 1.0, 9.0]))
    >>> coverage(rows, beta=0.2, strata=2).layer.tolist()
    [0, 0, 1, 1, -1]
    """
    if not (float(strata).is_integer() and 1 <= strata <= MOST_STRATA):
        raise UserError(
            f"strategy 'coverage': option 'strata' is {strata:g}; it must be a whole number from 1 to {MOST_STRATA:,}"
        )
    left_out = first_at_kept_end(rows, beta, "coverage")
    layer = np.full(len(left_out), -1, dtype=np.int32)
    for group in rows.by_group():
        inside = group[~left_out[group]]
        if len(inside):
            layer[inside] = layers_of(rows.score[inside], int(strata))
    return Keys(np.where(left_out, -np.inf, rows.u), layer)


def layers_of(score: Numbers, count: int) -> NDArray[np.int32]:
    """The layer of equal width, 0 to count - 1, of each score (n,); the highest score is in the last.

    >>> layers_of(np.array([0.0, 0.4, 0.6, 1.0]), 2).tolist()
    [0, 0, 1, 1]
    """
    low, high = score.min(), score.max()
    share = (score - low) / (high - low if high > low else 1.0)  # 0 to 1
    return np.minimum((share * count).astype(np.int32), count - 1)
