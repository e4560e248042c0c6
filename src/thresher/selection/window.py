"""A window below the hardest rows."""

from __future__ import annotations

from thresher.selection.registry import Numbers, Spread, strategy


@strategy(
    "window",
    source="drop the hardest few: Fayyaz et al. 2022 (arXiv 2211.05610), section 4; Zheng et al., ICLR 2023, section 3",
    drop="beta",
)
def window(wanted: Numbers, u: Numbers, spread: Spread, *, beta: float = 0.05) -> Numbers:
    """Key = the score itself, after the round(beta n) rows at the very end that is kept were left out.

    With `end="easy"` these are the hardest rows, where wrong labels gather: they are dropped, and the rows are kept from
    there down. With `stratify` the share is taken of each group. Of equal scores the hash of the row id decides; where
    more rows are asked for than are left, those left out come back at random.

    >>> import numpy as np
    >>> window(np.array([0.1, 0.9]), np.array([0.5, 0.5]), Spread(0.1, 0.9)).tolist()
    [0.1, 0.9]
    """
    return wanted
