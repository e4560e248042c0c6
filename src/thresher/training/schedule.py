"""Which learning rate schedules a recipe may name."""

from __future__ import annotations

import torch
from transformers import SchedulerType
from transformers.optimization import get_scheduler

from thresher.errors import UserError
from thresher.wording import did_you_mean, listed, shown

# It looks at an evaluation after every step, which a recipe of fixed steps does not make.
_LOOKS = SchedulerType.REDUCE_ON_PLATEAU


def check_schedule(name: str, setting: str = "train.schedule") -> None:
    """Refuse a schedule that transformers does not have, or that a name alone does not tell; `setting` is what it is called.

    Raises
    ------
    UserError
        one line that names those that there are.

    >>> check_schedule("cosine")
    >>> check_schedule("cosin")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: train.schedule 'cosin' is none that can be used; there are ... did you mean 'cosine'?
    """
    known = [one.value for one in SchedulerType if one is not _LOOKS and _stands_alone(one.value)]
    if name not in known:
        raise UserError(
            f"{setting} '{shown(name)}' is none that can be used; there are {listed(known, 20)}{did_you_mean(name, known)}"
        )


def _stands_alone(name: str) -> bool:
    """Whether a schedule needs nothing but warm-up and steps."""
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    try:
        get_scheduler(name, optimiser, num_warmup_steps=1, num_training_steps=4)
    except (TypeError, ValueError, AttributeError):
        return False
    return True
