"""The data diet of NLU: after some epochs only the hardest rows, scored again from time to time."""

from __future__ import annotations

from thresher.errors import UserError
from thresher.training.diets.epoch_state import EpochRows, EpochState, Mask, Numbers
from thresher.training.diets.registry import diet


@diet(
    "data-diet", score="el2n", source="Azeemi, Qazi and Raza, NLU on Data Diets, arXiv 2306.03208, section 3"
)
def data_diet(
    now: EpochState,
    *,
    prune: float = 0.5,
    after: int = 1,
    every: int = 0,
    skip: float = 0.0,
    by_class: bool = False,
) -> EpochRows:
    """`after` epochs on all rows, then the hardest 1 - prune by EL2N; every `every` epochs all rows are scored again.

    The first choice costs nothing: every row's EL2N of the last full epoch is known. Scoring again is one pass over all rows
    without gradients. `every=0` never does. `skip` first leaves out that share of the rows at the hard end, which are often
    mislabelled; `by_class` keeps the same share of every class.

    Raises UserError: prune or skip outside of 0 to 1, after below 1, or every below 0.
    """
    if not 0 <= prune < 1 or not 0 <= skip < 1 or after < 1 or every < 0:
        raise UserError(
            f"diet 'data-diet': prune {prune}, skip {skip}, after {after}, every {every}; shares lie between 0 and 1, after is at"
            " least 1, every at least 0"
        )
    if now.epoch < after:
        return now.all()
    since = now.epoch - after
    if since and not (every and since % every == 0) and now.last is not None:
        return now.last
    score = now.rescore() if since else now.score
    return EpochRows(hard_rows(now, score, prune, skip, by_class))


def hard_rows(now: EpochState, score: Numbers, prune: float, skip: float, by_class: bool) -> Mask:
    """The rows to keep: the hardest, except for the share `skip` that is hardest of all."""
    count = len(score)
    wanted = max(1, round((1 - prune) * count))
    hardest = now.hardest(score, min(count, wanted + round(skip * count)), by_class=by_class)
    if not skip:
        return hardest
    return now.hardest(-score, wanted, among=hardest, by_class=by_class)
