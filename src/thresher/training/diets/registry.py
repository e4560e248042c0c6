"""The table of diets: methods that choose, epoch by epoch, which rows a training uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from thresher.registry import Entry, Option, Registry
from thresher.training.diets.epoch_state import EpochRows, EpochState

DietFunction = Callable[..., EpochRows]
# Options of every diet, beside its own. same_steps: smaller batches, so that an epoch has as many steps as without a diet.
COMMON = {"same_steps": Option(bool, False)}


@dataclass(frozen=True, kw_only=True)
class Diet(Entry[DietFunction]):
    """A diet and the facts that `@diet` declares. The function is `(state, *, options...) -> EpochRows`.

    `score`: what it ranks rows by unless another score is given. `weighs`: whether it gives weights to rows. `source`: a
    sentence for people.
    """

    score: Literal["loss", "el2n"]
    source: str
    weighs: bool = False


DIETS = Registry("diet", "diets", Diet, common=COMMON)
diet = DIETS.register
diets = DIETS.all
find = DIETS.find


def check_options(name: str, options: Mapping[str, object] | None = None) -> dict[str, Any]:
    """The options of a diet: its defaults, overridden by what is given, as the annotated types.

    Raises UserError: an unknown diet or option, or a value that it does not accept.

    >>> check_options("infobatch", {"r": "0.7"})
    {'r': 0.7, 'full': 0.125, 'same_steps': False}
    """
    checked = DIETS.check_options(name, options)
    # Called once without scores: a value outside its range is refused now and not in the middle of a training.
    unknown = np.full(2, np.nan)
    labels, random = np.zeros(2, np.int64), np.random.default_rng(0)
    state = EpochState(0, 1, unknown, unknown, labels, None, random, lambda: unknown)
    find(name).function(state, **own(checked))
    return checked


def own(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that the function of a diet takes: all but those that every diet has."""
    return {name: value for name, value in options.items() if name not in COMMON}
