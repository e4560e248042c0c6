"""The rule that the study recommends."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np

from thresher.errors import UserError
from thresher.selection.candidates import Candidates, Keys, Numbers, exact_mean
from thresher.selection.registry import strategy
from thresher.selection.top_k import largest_of_groups

STEPS = 100  # of the rows to prune, in which the rows to leave out are counted
# The share of rows learned in time up to which the scores are not used at all, and from which they are used fully.
LEARNED = (0.55, 0.8)
MOST_LEFT_OUT = 0.3  # share of all rows that may be left out at the hard end


@strategy(
    "recommended",
    source="ours: research/study/study.md tells how it was found and where it fails",
    scores=2,
    needs_stratify=True,
    by=("hardest_view|held_out_margin|aum", "correctness"),
)
def recommended(
    rows: Candidates, *, learned: float = 0.88, least: float = 0.65, sample: float = 0.1, trust: float = 1.0
) -> Keys:
    """Keep the hardest rows that, taken together, were learned; some rows of every class; and a random sample of all rows.

    With m of N rows to keep, in the order of their margin from the hardest on (the held-out margin; AUM without
    cross-validation; the lower of two held-out ranks if the rows were also scored by their words, as for a frozen proxy):

        F      = the share of the rows with a correctness of at least 1/2: those learned by the middle of the training
        trust  = (F - 0.55) / (0.8 - 0.55), cut to [0, 1], and at most the option `trust`
        drawn  = (1 - trust) m rows, drawn at random from each class in proportion to its size
        b      = trust times the fewest rows, in hundredths of what is pruned, for which rows b+1 .. b+m have a mean
                 correctness of at least `learned`, found by bisection; at most 0.3 N
        kept   = the drawn rows,
                 about `sample` trust m rows drawn from all, whatever their score,
                 the hardest `least` trust m / K rows of each of the K classes after the first b, those drawn counted in,
                 and the hardest of all other rows after the first b

    A class with fewer than that after the first b gets some of those back, at random, so that no class is lost.

    How many of the hardest rows help depends on how well the training set can be fitted and on how much is pruned. Rows that
    a model never learns (wrong labels, rows beyond it) do harm once they are a large part of what is left, and none while
    they are a small part. Correctness, the share of the checkpoints at which the model was right, measures that. A held-out
    margin comes from models that have not seen the row; a model that has seen it makes memorised rows look easy. The random
    sample keeps kinds of text that are easy as a whole: a margin says more about how easy a kind is than about which of its
    rows are needed, and a fine-tuned model unlearns a kind of which nothing is left.

    A training that was too short to learn its rows says nothing about which of them are hard for good. The less it has
    learned, the more of the kept rows are a stratified random draw; a warning says how many and why.

    Columns: `hardest_view`, `held_out_margin` or `aum`, and `correctness`, averaged over the runs. Groups: the label, unless
    `stratify` names another column.

    Raises UserError: `least`, `sample` or `trust` is not from 0 to 1.

    >>> rows = Candidates.of(np.array([[0.1, 0.5, 0.7, 0.9, 0.95], [1.0, 1.0, 1.0, 1.0, 0.0]]), prune=0.4)
    >>> recommended(rows, sample=0.0).key.tolist()  # the hardest row was not learned
    [0.1, 0.5, 0.7, 0.9, -inf]
    """
    for option, value in (("least", least), ("sample", sample), ("trust", trust)):
        if not 0 <= value <= 1:
            raise UserError(f"strategy 'recommended': option '{option}' is {value:g}; it must be from 0 to 1")
    correctness = rows.scores[1] * rows.signs[1]  # as it is, not oriented
    in_time = learned_in_time(correctness)
    by_scorer = trust_in(in_time)
    trust = min(trust, by_scorer)
    by_chance = largest_of_groups(
        rows.u,
        rows.tie,
        rows.group,
        (rows.sizes * (1 - trust) * rows.n_target / len(rows.tie)).astype(np.int64),
    )
    hardest_first = np.lexsort((rows.tie, rows.score))[::-1]
    b = round(trust * left_out(correctness[hardest_first], rows.prune, rows.n_target, learned))
    # Drawn rows have one key above every score, so that the hash decides among them; if left out, they come last all the same.
    sampled = rows.u > 1 - sample * (1 - rows.prune)
    # Without trust the rows that the draw leaves to fill up are the next of it.
    key = np.where(sampled, np.nextafter(rows.score.max(), np.inf), rows.score) if trust else rows.u
    key[hardest_first[:b]] = -np.inf
    of_each_class = np.minimum(rows.sizes, int(least * trust * rows.n_target / rows.n_groups))
    first = np.where(rows.protected | by_chance, np.inf, key)
    keep = by_chance | largest_of_groups(first, rows.tie, rows.group, of_each_class)
    drawn = by_chance.sum() if trust else rows.n_target
    note = (
        f"the model that scored the rows learned {in_time:.0%} of them by the middle of its training:"
        f" {drawn:,} of the {rows.n_target:,} kept rows are drawn at random, class by class; scores of a longer"
        " training, or of `--proxy frozen`, choose more of them"
    )
    return Keys(key, keep=keep, shared=False, note=note if by_scorer < 1 else None)


def learned_in_time(correctness: Numbers) -> float:
    """The share of the rows (N,) that the model was right about at half of the checkpoints or more.

    >>> learned_in_time(np.array([0.0, 0.4, 0.5, 1.0]))
    0.5
    """
    return float((correctness >= 0.5).mean())


def trust_in(in_time: float, bounds: tuple[float, float] = LEARNED) -> float:
    """How much the scores of a training count, from 0 to 1, by the share of the rows that it learned in time.

    >>> trust_in(0.9), trust_in(0.5)
    (1.0, 0.0)
    """
    low, high = bounds
    return float(np.clip((in_time - low) / (high - low), 0, 1))


def left_out(correctness: Numbers, prune: float, n_target: int, learned: float) -> int:
    """The fewest of the hardest rows without which the `n_target` that follow have a mean correctness of at least `learned`.

    `correctness` (N,) is in the order of hardness, the hardest row first.

    >>> left_out(np.array([0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]), 0.5, 5, 1.0)
    2
    """
    n = len(correctness)

    def first(step: int) -> int:
        return min(round(prune * n * step / STEPS), int(MOST_LEFT_OUT * n))

    def enough(step: int) -> bool:
        kept = correctness[first(step) :][:n_target]
        return not len(kept) or exact_mean(kept) >= learned

    return first(bisect_left(range(STEPS), True, key=enough))
