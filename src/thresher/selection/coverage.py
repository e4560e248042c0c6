"""Coverage-centric selection."""

from __future__ import annotations

from thresher.selection.registry import Numbers, Spread, strategy


@strategy(
    "coverage",
    source="Zheng, Liu, Lai and Prakash, ICLR 2023 (arXiv 2210.15809), section 4, algorithm 1 (CCS)",
    drop="beta",
    layers="strata",
)
def coverage(
    wanted: Numbers, u: Numbers, spread: Spread, *, beta: float = 0.1, strata: float = 50.0
) -> Numbers:
    """Key = u within a layer of the score's range: random rows of every difficulty, after the hardest were left out.

    The round(beta n) rows at the end that is kept are left out, the range of the others is cut into `strata` layers of
    equal width, and the budget m is shared from the smallest layer up: a layer gets min(its rows, m / layers left,
    rounded down), and m shrinks by it. So small layers are kept whole and large ones share the rest evenly. With
    `stratify` all of this happens within each group. Where more rows are asked for than are left, those left out come
    back at random.

    Where the paper leaves it open: beta depends on data and budget (0 to 0.4 there); layers of equal size are taken in
    the order of the score.

    >>> import numpy as np
    >>> coverage(np.array([0.1, 0.9]), np.array([0.7, 0.2]), Spread(0.1, 0.9)).tolist()
    [0.7, 0.2]
    """
    return u
