"""The steps at which a training saves its weights, and at which it predicts all rows."""

from __future__ import annotations

import math

from thresher.config import TrainConfig


def evenly_spaced(count: int, total: int) -> list[int]:
    """`count` evenly spaced steps up to `total`, including the last one; fewer if `total` is smaller.

    >>> evenly_spaced(4, 10)
    [2, 5, 8, 10]
    """
    return sorted({max(1, round(total * i / count)) for i in range(1, count + 1)})


def checkpoint_steps(config: TrainConfig, total: int) -> list[int]:
    """The steps at which weights are saved: evenly spaced or every `checkpoint_every` steps, and always the last one."""
    if config.checkpoint_every is None:
        return evenly_spaced(config.checkpoints, total)
    return sorted({*range(config.checkpoint_every, total + 1, config.checkpoint_every), total})


def evaluation_steps(config: TrainConfig, total: int, steps_per_epoch: int) -> list[int]:
    """The steps of the evaluations on all rows from which forgetting is counted."""
    end = min(total, math.ceil(config.forgetting_epochs * steps_per_epoch))
    if config.forgetting_every is not None:
        return list(range(config.forgetting_every, end + 1, config.forgetting_every))
    return evenly_spaced(config.forgetting_evaluations, end) if config.forgetting_evaluations else []
