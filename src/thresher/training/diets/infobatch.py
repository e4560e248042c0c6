"""InfoBatch: skip easy rows at random, and weigh up the easy rows that are kept."""

from __future__ import annotations

import math

import numpy as np

from thresher.errors import UserError
from thresher.training.diets.epoch_state import EpochRows, EpochState
from thresher.training.diets.registry import diet


@diet("infobatch", score="loss", weighs=True, source="Qin et al., InfoBatch, ICLR 2024, sections 2.2 and 2.3")
def infobatch(now: EpochState, *, r: float = 0.5, full: float = 0.125) -> EpochRows:
    """Rows with a last loss below the mean are skipped with probability r; the loss of those kept counts 1 / (1 - r).

    The expected gradient of an epoch is that of all rows. Rows without a loss yet are kept with weight 1, and so is every row in
    the last `full` share of the epochs, where the remaining bias and variance are trained out.

    Raises UserError: r or full outside of 0 to 1.

    >>> loss = np.array([0.1, 0.2, 0.1, 3.0])
    >>> now = EpochState(1, 8, loss, loss, np.zeros(4, int), None, np.random.default_rng(1), lambda: loss)
    >>> rows = infobatch(now, r=0.5)
    >>> rows.keep.tolist(), rows.weight.tolist()
    ([True, True, False, True], [2.0, 2.0, 2.0, 1.0])
    """
    if not 0 <= r < 1 or not 0 <= full <= 1:
        raise UserError(f"diet 'infobatch': r is {r} and full is {full}; both lie between 0 and 1")
    known = ~np.isnan(now.score)
    if not known.any() or now.epoch >= now.epochs - math.ceil(full * now.epochs):
        return now.all()
    easy = known & (now.score < now.score[known].mean())
    keep = ~easy | (now.random.random(len(easy)) >= r)
    return EpochRows(keep, np.where(easy, 1 / (1 - r), 1.0).astype(np.float32))
