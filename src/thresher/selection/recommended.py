"""The rule that the study recommends."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from thresher.errors import UserError
from thresher.selection.candidates import Candidates, Keys, exact_mean
from thresher.selection.registry import strategy
from thresher.selection.top_k import largest_of_groups

STEPS = 100  # of the rows to prune, in which the rows to leave out are counted


@strategy(
    "recommended",
    source="ours: research/study/study.md tells how it was found and where it fails",
    scores=2,
    needs_stratify=True,
    by=("hardest_view|held_out_margin|aum", "correctness"),
)
def recommended(rows: Candidates, *, learned: float = 0.88, least: float = 0.65, sample: float = 0.1) -> Keys:
    """Keep the hardest rows that, taken together, were learned; some rows of every class; and a random sample of all rows.

    With m rows to keep, in the order of their margin from the hardest on (the held-out margin; AUM without cross-validation;
    the lower of two held-out ranks if the rows were also scored by their words, as for a frozen proxy):

        b    = the fewest rows, in hundredths of what is pruned, for which rows b+1 .. b+m have a mean correctness of at least
               `learned`, found by bisection
        kept = about `sample` m rows drawn from all of them, whatever their score,
               the hardest `least` m / K rows of each of the K classes after the first b, those drawn counted in,
               and the hardest of all other rows after the first b

    A class with fewer than `least` m / K rows after the first b gets some of those back, at random, so that no class is lost.

    How many of the hardest rows help depends on how well the training set can be fitted and on how much is pruned. Rows that
    a model never learns (wrong labels, rows beyond it) do harm once they are a large part of what is left, and none while
    they are a small part. Correctness, the share of the checkpoints at which the model was right, measures that. A held-out
    margin comes from models that have not seen the row; a model that has seen it makes memorised rows look easy. The random
    sample keeps kinds of text that are easy as a whole: a margin says more about how easy a kind is than about which of its
    rows are needed, and a fine-tuned model unlearns a kind of which nothing is left.

    Columns: `hardest_view`, `held_out_margin` or `aum`, and `correctness`, averaged over the runs. Groups: the label, unless
    `stratify` names another column.

    Raises
    ------
    UserError
        `least` or `sample` is not from 0 to 1.

    >>> rows = Candidates.of(np.array([[0.1, 0.5, 0.9], [1.0, 1.0, 0.0]]))
    >>> recommended(rows, sample=0.0).key.tolist()  # the hardest row was not learned
    [0.1, 0.5, -inf]
    """
    for option, value in (("least", least), ("sample", sample)):
        if not 0 <= value <= 1:
            raise UserError(f"strategy 'recommended': option '{option}' is {value:g}; it must be from 0 to 1")
    hardest_first = np.lexsort((rows.tie, rows.score))[::-1]
    correctness = (rows.scores[1] * rows.signs[1])[hardest_first]  # as it is, not oriented

    def left_out(step: int) -> int:
        return round(rows.prune * len(hardest_first) * step / STEPS)

    def enough(step: int) -> bool:
        kept = correctness[left_out(step) :][: rows.n_target]
        return not len(kept) or exact_mean(kept) >= learned

    b = left_out(bisect_left(range(STEPS), True, key=enough))
    # Drawn rows have one key above every score, so that the hash decides among them; if left out, they come last all the same.
    drawn = rows.u > 1 - sample * (1 - rows.prune)
    key = np.where(drawn, np.nextafter(rows.score.max(), np.inf), rows.score)
    key[hardest_first[:b]] = -np.inf
    of_each_class = np.minimum(rows.sizes, int(least * rows.n_target / rows.n_groups))
    keep = largest_of_groups(np.where(rows.protected, np.inf, key), rows.tie, rows.group, of_each_class)
    return Keys(key, keep=keep, shared=False)
