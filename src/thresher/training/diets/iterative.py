"""Iterative pruning: score, drop some rows, continue or restart, again, until enough is dropped."""

from __future__ import annotations

import numpy as np

from thresher.errors import UserError
from thresher.training.diets.epoch_state import EpochRows, EpochState
from thresher.training.diets.registry import diet


@diet(
    "iterative",
    score="el2n",
    source="left open by Anand et al., EMNLP 2023, section 4; iterative magnitude pruning, Frankle and Carbin, ICLR 2019",
)
def iterative(
    now: EpochState,
    *,
    prune: float = 0.7,
    cuts: int = 3,
    after: int = 1,
    every: int = 1,
    restart: bool = False,
    by_class: bool = False,
) -> EpochRows:
    """Drop the easiest rows in `cuts` equal factors, one each `every` epochs from epoch `after` on, up to the share `prune`.

    After cut k the share (1 - prune)^(k / cuts) of the rows is left. Rows are ranked by the mean of their EL2N over all of
    their training steps so far, which only rows still in training add to; dropped rows stay out. With `restart` the training
    starts over after each cut, from its initial weights and with the whole schedule for the epochs that are left.

    Raises UserError: prune outside of 0 to 1, or one of the others 0.
    """
    if not 0 <= prune < 1 or min(cuts, after, every) < 1:
        raise UserError(
            f"diet 'iterative': prune {prune}, cuts {cuts}, after {after}, every {every}; prune lies between 0 and 1, the"
            " others are at least 1"
        )
    done, rest = divmod(now.epoch - after, every)
    if now.epoch < after or now.last is None:
        return now.all()
    if rest or done >= cuts:
        return EpochRows(now.last.keep)
    count = max(1, round(len(now.mean) * (1 - prune) ** ((done + 1) / cuts)))
    keep = now.hardest(
        now.mean, min(count, int(np.sum(now.last.keep))), among=now.last.keep, by_class=by_class
    )
    return EpochRows(keep, restart=restart)
