"""A window below the hardest rows."""

from __future__ import annotations

import numpy as np

from thresher.errors import UserError
from thresher.selection.candidates import Candidates, Mask, Numbers
from thresher.selection.registry import strategy


@strategy(
    "window",
    source="drop the hardest few: Fayyaz et al. 2022 (arXiv 2211.05610), section 4; Zheng et al., ICLR 2023, section 3",
)
def window(rows: Candidates, *, beta: float = 0.05) -> Numbers:
    """Key = the score, and -inf for the round(beta n) rows at the very end that is kept.

    With `end="easy"` these are the hardest rows, where wrong labels accumulate: they are dropped, and the rows after them
    are kept. With `stratify` the share is taken from each group. Equal scores are ordered by the hash of the id. If more
    rows are needed than remain, rows that were left out return at random.

    Raises UserError: beta is outside [0, 1).

    >>> window(Candidates.of(np.array([0.1, 0.9, 0.2])), beta=0.3).tolist()
    [0.1, -inf, 0.2]
    """
    return np.where(first_at_kept_end(rows, beta, "window"), -np.inf, rows.score)


def first_at_kept_end(rows: Candidates, beta: float, strategy: str) -> Mask:
    """The round(beta n) rows of each group that have the largest scores, (N,).

    Raises UserError: beta is outside [0, 1).

    >>> first_at_kept_end(Candidates.of(np.array([0.1, 0.9, 0.2])), 0.3, "window").tolist()
    [False, True, False]
    """
    if not 0 <= beta < 1:
        raise UserError(
            f"strategy '{strategy}': option 'beta' is {beta:g}; it must be at least 0 and below 1"
        )
    return rows.top(beta)
