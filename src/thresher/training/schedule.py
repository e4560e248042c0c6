"""Check the name of a learning rate schedule."""

from __future__ import annotations

import torch
from transformers import SchedulerType
from transformers.optimization import get_scheduler

from thresher.errors import UserError
from thresher.wording import did_you_mean, listed, shown

# Needs an evaluation after every step, which the recipe does not have.
_NEEDS_EVALUATION = SchedulerType.REDUCE_ON_PLATEAU


def check_schedule(name: str, setting: str = "train.schedule") -> None:
    """Refuse a schedule that transformers does not have, or that needs more than a name; `setting` is its name in messages.

    Raises UserError: one line that lists the supported schedules.

    >>> check_schedule("cosine")
    >>> check_schedule("cosin")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: train.schedule: unknown schedule 'cosin'; supported are ...; did you mean 'cosine'?
    """
    known = [
        one.value for one in SchedulerType if one is not _NEEDS_EVALUATION and _needs_no_options(one.value)
    ]
    if name not in known:
        raise UserError(
            f"{setting}: unknown schedule '{shown(name)}'; supported are {listed(known, 20)}{did_you_mean(name, known)}"
        )


def _needs_no_options(name: str) -> bool:
    """Whether a schedule needs nothing but warm-up and total steps."""
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    try:
        get_scheduler(name, optimiser, num_warmup_steps=1, num_training_steps=4)
    except (TypeError, ValueError, AttributeError):
        return False
    return True
