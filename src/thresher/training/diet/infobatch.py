"""InfoBatch: skip easy rows by chance, weigh up those that stay."""

from __future__ import annotations

import math

import numpy as np

from thresher.errors import UserError
from thresher.training.diet.moment import Moment, Portion
from thresher.training.diet.registry import diet


@diet("infobatch", score="loss", weighs=True, source="Qin et al., InfoBatch, ICLR 2024, sections 2.2 and 2.3")
def infobatch(now: Moment, *, r: float = 0.5, full: float = 0.125) -> Portion:
    """Rows whose last loss is below the mean are skipped with probability r; the loss of those that stay counts 1 / (1 - r).

    The expected gradient of an epoch is that of all rows. Rows without a loss yet stay as they are, and so does everything in
    the last `full` share of the epochs, where the remaining bias and variance are trained out.

    Raises
    ------
    UserError
        r or full outside of 0 to 1.

    >>> loss = np.array([0.1, 0.2, 0.1, 3.0])
    >>> now = Moment(1, 8, loss, loss, np.zeros(4, int), None, np.random.default_rng(1), lambda: loss)
    >>> portion = infobatch(now, r=0.5)
    >>> portion.keep.tolist(), portion.weight.tolist()
    ([True, True, False, True], [2.0, 2.0, 2.0, 1.0])
    """
    if not 0 <= r < 1 or not 0 <= full <= 1:
        raise UserError(f"diet 'infobatch': r is {r} and full is {full}; both lie between 0 and 1")
    known = ~np.isnan(now.score)
    if not known.any() or now.epoch >= now.epochs - math.ceil(full * now.epochs):
        return now.all()
    easy = known & (now.score < now.score[known].mean())
    keep = ~easy | (now.random.random(len(easy)) >= r)
    return Portion(keep, np.where(easy, 1 / (1 - r), 1.0).astype(np.float32))
