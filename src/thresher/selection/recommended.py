"""The rule that the study recommends."""

from __future__ import annotations

import numpy as np

from thresher.errors import UserError
from thresher.selection.registry import Numbers, Spread, strategy


@strategy(
    "recommended",
    source="ours: docs/study.md tells how it was found and where it fails",
    needs_stratify=True,
    several=True,
    reach="learned",
    least="least",
    by=("hardest_view|held_out_margin|aum", "correctness"),
)
def recommended(
    wanted: Numbers,
    u: Numbers,
    spread: Spread | tuple[Spread, ...],
    *,
    learned: float = 0.88,
    least: float = 0.65,
    sample: float = 0.1,
) -> Numbers:
    """Key = the score itself: the hardest rows are kept that were, together, learned; some of every class, and some of the rest.

    With m rows to keep, in the order of their margin from the hardest on (the held-out margin; AUM, where no cross-validation was
    made; the lower of two held-out ranks, where the rows were looked at by their words, too, as for a frozen proxy):

        b    = the fewest rows, in hundredths of what is pruned, for which rows b+1 .. b+m have a mean correctness of at least
               `learned`, found by bisection
        kept = about `sample` m rows drawn from all of them, whatever their score,
               the hardest `least` m / K rows of each of the K classes after the first b, those drawn counted in,
               and the hardest of all other rows after the first b

    A class with fewer than `least` m / K rows after the first b gets some of those back, at random, so that no class is lost.

    How many of the hardest rows help depends on how well the training set can be fitted and on how much is pruned: what a
    model never learns (wrong labels, rows beyond it) does harm once it is a large part of what is left, and none while it is
    a small one. Correctness, the share of the checkpoints at which the model was right, measures just that. A held-out margin
    comes from models that have not seen the row: one that has seen it makes what it learned by heart look easy. The rows that are
    drawn keep kinds of text in the set that are easy as a whole: a margin says how easy a kind is more than which of its rows
    are needed, and a model that is fine-tuned unlearns a kind of which nothing is left. Columns: `hardest_view`,
    `held_out_margin` or `aum`, and `correctness`, averaged over the runs; groups: the label, unless `stratify` names another
    column.

    Raises
    ------
    UserError
        `sample` is not from 0 to 1.

    >>> import numpy as np
    >>> recommended(np.array([0.1, 0.9]), np.array([0.5, 0.5]), Spread(0.1, 0.9, kept=0.5)).tolist()
    [0.1, 0.9]
    """
    if not 0 <= sample <= 1:
        raise UserError(f"strategy 'recommended': option 'sample' is {sample:g}; it must be from 0 to 1")
    # Above every score, and equal, so that the hash decides among them; one that is left out goes last all the same.
    of_score = spread if isinstance(spread, Spread) else spread[0]
    return np.where(u > 1 - sample * of_score.kept, np.nextafter(of_score.high, np.inf), wanted)
