"""The input of a diet at the start of an epoch, and its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class EpochRows:
    """The rows of an epoch: `keep` (N,), and what the loss of each is multiplied by, `weight` (N,), None for 1.

    `restart`: the training starts over with them, from its initial weights.
    """

    keep: Mask
    weight: NDArray[np.float32] | None = None
    restart: bool = False

    def with_mean_weight_one(self) -> EpochRows:
        """The same with weights of mean 1 over its rows: the mean loss of a smaller batch stands for the whole batch's."""
        if self.weight is None:
            return self
        return replace(self, weight=self.weight / self.weight[self.keep].mean())


@dataclass(frozen=True)
class EpochState:
    """The state of a training at the start of epoch `epoch` (from 0) of `epochs`.

    `score` (N,) is each row's score at its last training step, nan for rows without one, high for hard ones; `mean` (N,) the
    mean over its steps; `label` (N,) its class, all 0 for a token classifier. `last` are the rows of the epoch before.
    `rescore()` scores all rows with the model as it is, and returns that. `random` is seeded by the training's seed and the
    epoch.
    """

    epoch: int
    epochs: int
    score: Numbers
    mean: Numbers
    label: NDArray[np.int64]
    last: EpochRows | None
    random: np.random.Generator
    rescore: Callable[[], Numbers]

    def all(self) -> EpochRows:
        """Every row, with weight 1."""
        return EpochRows(np.ones(len(self.score), bool))

    def hardest(self, score: Numbers, count: int, among: Mask | None = None, by_class: bool = False) -> Mask:
        """The `count` rows of highest score, those without one first, or the same share of each class; ties at random.

        >>> nothing = np.zeros(4)
        >>> state = EpochState(1, 3, nothing, nothing, np.array([0, 0, 1, 1]), None, np.random.default_rng(0), lambda: nothing)
        >>> state.hardest(np.array([0.1, 0.2, 0.8, 0.9]), 2).tolist()
        [False, False, True, True]
        >>> state.hardest(np.array([0.1, 0.2, 0.8, 0.9]), 2, by_class=True).tolist()
        [False, True, False, True]
        """
        key = np.where(np.isnan(score), np.inf, score)
        if among is not None:
            key = np.where(among, key, -np.inf)
        order = np.lexsort((self.random.random(len(key)), -key))
        if by_class:
            # The place of a row in its class, as a share of the class: equal shares of all classes come first.
            place = np.empty(len(key))
            for one in np.unique(self.label):
                mine = order[self.label[order] == one]
                size = len(mine) if among is None else max(1, int(among[mine].sum()))
                place[mine] = (np.arange(len(mine)) + 0.5) / size
            order = order[np.argsort(place[order], kind="stable")]
        keep = np.zeros(len(key), bool)
        keep[order[:count]] = True
        return keep
