"""The registry of diets, and the check of their options."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np

from thresher.errors import UserError
from thresher.training.diets.epoch_state import EpochRows, EpochState

DietFunction = Callable[..., EpochRows]
Function = TypeVar("Function", bound=DietFunction)
ScoreName = Literal["loss", "el2n"]


@dataclass(frozen=True)
class Diet:
    """A method: `score` is what it ranks rows by by default, `weighs` whether it gives weights to rows, `options` its defaults,
    `source` the paper."""

    name: str
    function: DietFunction
    score: ScoreName
    weighs: bool
    source: str
    options: Mapping[str, float] = field(repr=False)


_REGISTRY: dict[str, Diet] = {}
# Options of every diet. same_steps: as many batches as without a diet, of fewer rows each.
COMMON: dict[str, float] = {"same_steps": False}


def diet(name: str, *, score: ScoreName, source: str, weighs: bool = False) -> Callable[[Function], Function]:
    """Enter a function `(state, *, options...) -> EpochRows` as the diet `name`; options are numbers or booleans.

    >>> sorted(diets())
    ['data-diet', 'infobatch', 'iterative']
    """

    def enter(function: Function) -> Function:
        if name in _REGISTRY and _REGISTRY[name].function.__module__ != function.__module__:
            raise ValueError(f"diet {name!r} is defined twice")
        options = {
            one.name: one.default
            for one in inspect.signature(function).parameters.values()
            if one.kind is inspect.Parameter.KEYWORD_ONLY
        }
        _REGISTRY[name] = Diet(name, function, score, weighs, source, {**options, **COMMON})
        return function

    return enter


def diets() -> dict[str, Diet]:
    """Every diet by name, in alphabetical order."""
    return {name: _REGISTRY[name] for name in sorted(_REGISTRY)}


def find(name: str) -> Diet:
    """The diet of that name.

    Raises
    ------
    UserError
        there is none.
    """
    if name not in _REGISTRY:
        raise UserError(f"unknown diet '{name}'; there are {', '.join(diets())}")
    return _REGISTRY[name]


def check_options(name: str, options: Mapping[str, Any] | None = None) -> dict[str, float]:
    """The options of a diet: its defaults, overridden by what was given, each of its default's type.

    Raises
    ------
    UserError
        an unknown diet or option, or a value that it does not take.

    >>> check_options("infobatch", {"r": "0.7"})
    {'r': 0.7, 'full': 0.125, 'same_steps': False}
    """
    known = find(name).options
    checked = dict(known)
    for option, value in (options or {}).items():
        if option not in known:
            raise UserError(f"diet '{name}' has no option '{option}'; it has {', '.join(known)}")
        kind = type(known[option])
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        whole = kind is float or (number.is_integer() and (kind is int or number <= 1))
        if not math.isfinite(number) or not whole or number < 0:
            words = {float: "a number of 0 or more", int: "a whole number of 0 or more", bool: "0 or 1"}
            raise UserError(f"diet '{name}': option '{option}' is '{value}'; it takes {words[kind]}")
        checked[option] = kind(number)
    # Called once without scores: a value outside its range is refused now and not in the middle of a training.
    unknown = np.full(2, np.nan)
    state = EpochState(
        0, 1, unknown, unknown, np.zeros(2, np.int64), None, np.random.default_rng(0), lambda: unknown
    )
    find(name).function(state, **own(checked))
    return checked


def own(options: Mapping[str, float]) -> dict[str, float]:
    """The options that the function of a diet takes: all but those that every diet has."""
    return {name: value for name, value in options.items() if name not in COMMON}
