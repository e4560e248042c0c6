"""What selection strategies there are, and what each can be told.

A strategy is a function that gives each row a key; the rows with the largest keys are kept. `@strategy`
enters it here; its options are its keyword-only arguments, read from the signature, so that a new strategy is
one new file and nothing else.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from thresher.errors import UserError

Numbers = NDArray[np.float64]


class Spread(NamedTuple):
    """The smallest and the largest score of the whole table, oriented like the scores a strategy is given."""

    low: float
    high: float


StrategyFunction = Callable[..., Numbers]
Function = TypeVar("Function", bound=StrategyFunction)


@dataclass(frozen=True)
class Strategy:
    """What the selection, the command line and the tests know about a strategy.

    `options`: the defaults by name. `reads_score`: whether the key depends on the score. `needs_stratify`:
    whether a column to stratify by must be named. `source`: a sentence for people.
    """

    name: str
    function: StrategyFunction
    source: str
    reads_score: bool
    needs_stratify: bool
    options: Mapping[str, float] = field(repr=False)


_REGISTRY: dict[str, Strategy] = {}


def strategy(
    name: str, *, source: str, reads_score: bool = True, needs_stratify: bool = False
) -> Callable[[Function], Function]:
    """Enter a function `(wanted, u, spread, *, options...) -> keys` as the strategy `name`.

    `wanted` (n,) float64: the scores, turned so that large means "keep". `u` (n,) float64: the uniform number
    of each row in (0, 1). `spread`: smallest and largest `wanted` of the whole table. It is called on
    arbitrary pieces of the table, so the key of a row may depend on its own entries and on `spread` alone.

    Raises
    ------
    ValueError
        two strategies of one name, or an option without a number as default: a mistake in the strategy's
        file.

    >>> find("softmax").options
    {'temperature': 1.0}
    """

    def enter(function: Function) -> Function:
        if name in _REGISTRY and _REGISTRY[name].function.__module__ != function.__module__:
            raise ValueError(f"strategy {name!r} is defined twice")
        _REGISTRY[name] = Strategy(name, function, source, reads_score, needs_stratify, _options_of(function))
        return function

    return enter


def strategies() -> dict[str, Strategy]:
    """Every strategy by name, in alphabetical order.

    >>> list(strategies())
    ['cutoff', 'linear', 'random', 'softmax', 'stratified']
    """
    return {name: _REGISTRY[name] for name in sorted(_REGISTRY)}


def find(name: str) -> Strategy:
    """The strategy of that name.

    Raises
    ------
    UserError
        there is none.

    >>> find("random").reads_score
    False
    """
    if name not in _REGISTRY:
        raise UserError(f"unknown strategy '{name}'; known strategies: {', '.join(strategies())}")
    return _REGISTRY[name]


def check_options(name: str, options: Mapping[str, Any] | None = None) -> dict[str, float]:
    """The options of a strategy: its defaults, overridden by what was given, as finite numbers.

    Raises
    ------
    UserError
        an unknown strategy or option, or a value that is no finite number.

    >>> check_options("softmax", {"temperature": "0.5"})
    {'temperature': 0.5}
    """
    known = find(name).options
    checked = dict(known)
    for option, value in (options or {}).items():
        if option not in known:
            has = f"it has {', '.join(known)}" if known else "it has none"
            raise UserError(f"strategy '{name}' has no option '{option}'; {has}")
        try:
            checked[option] = float(value)
        except (TypeError, ValueError):
            checked[option] = math.nan
        if not math.isfinite(checked[option]):
            raise UserError(f"strategy '{name}': option '{option}' is '{value}'; it takes a number")
    return checked


def parse_options(texts: Iterable[str]) -> dict[str, str]:
    """`OPTION=VALUE` texts, as the command line takes them, as a dictionary for `select`.

    Raises
    ------
    UserError
        a text of another form.

    >>> parse_options(["temperature=0.5"])
    {'temperature': '0.5'}
    """
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"strategy option '{text}': write OPTION=VALUE, for example temperature=0.5")
        options[name.strip()] = value.strip()
    return options


def _options_of(function: StrategyFunction) -> dict[str, float]:
    arguments = [
        argument
        for argument in inspect.signature(function).parameters.values()
        if argument.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for argument in arguments:
        if not isinstance(argument.default, float):
            raise ValueError(f"{function.__qualname__}: option '{argument.name}' needs a number as default")
    return {argument.name: argument.default for argument in arguments}
