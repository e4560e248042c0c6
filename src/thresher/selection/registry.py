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
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from thresher.errors import UserError

Numbers = NDArray[np.float64]
Fact = Literal["mean", "median"]


class Spread(NamedTuple):
    """What a strategy may know of the whole table, oriented like the scores it is given.

    The smallest and the largest score; the mean and the median only where the strategy asks for them. The median is
    that of each row's own group where `stratify` makes groups, (n,), and of an even number the larger of the middle
    two. `kept` is the share of the rows that is to be kept.
    """

    low: float
    high: float
    mean: float = math.nan
    median: float | Numbers = math.nan
    kept: float = math.nan


StrategyFunction = Callable[..., Numbers]
Function = TypeVar("Function", bound=StrategyFunction)


@dataclass(frozen=True)
class Strategy:
    """What the selection, the command line and the tests know about a strategy.

    `options`: the defaults by name. `reads_score`: whether the key depends on the score. `needs_stratify`:
    whether a column to stratify by must be named. `several`: whether it takes several score columns. `facts`: what
    else of `Spread` it reads. `drop`: its option that holds the share of the rows at the kept end to leave out first.
    `reach`: its option that holds what the kept rows reach on average in the second score column; as many at the kept end
    are left out first as that takes. `layers`: its option that holds the number of layers of the score's range that share
    the kept rows evenly. `least`: its option that holds how much of an even share of the kept rows each group of `stratify`
    keeps at least, in place of its own share. `by`: the scores that it is made for, whatever else is named. `source`: a
    sentence for people.
    """

    name: str
    function: StrategyFunction
    source: str
    reads_score: bool
    needs_stratify: bool
    several: bool
    facts: tuple[Fact, ...]
    drop: str | None
    reach: str | None
    layers: str | None
    least: str | None
    by: tuple[str, ...]
    options: Mapping[str, float] = field(repr=False)

    def score(self, named: str) -> str:
        """What it goes by where `named` is asked for: scores with commas between them."""
        return ",".join(self.by) or named

    @property
    def ranks(self) -> bool:
        """Whether the key depends on where the row stands among the others, not only on the spread."""
        return (
            self.drop is not None
            or self.reach is not None
            or self.layers is not None
            or "median" in self.facts
        )


_REGISTRY: dict[str, Strategy] = {}


def strategy(
    name: str,
    *,
    source: str,
    reads_score: bool = True,
    needs_stratify: bool = False,
    several: bool = False,
    facts: tuple[Fact, ...] = (),
    drop: str | None = None,
    reach: str | None = None,
    layers: str | None = None,
    least: str | None = None,
    by: tuple[str, ...] = (),
) -> Callable[[Function], Function]:
    """Enter a function `(wanted, u, spread, *, options...) -> keys` as the strategy `name`.

    `wanted` (n,) float64: the scores, turned so that large means "keep". `u` (n,) float64: the uniform number
    of each row in (0, 1). `spread`: smallest and largest `wanted` of the whole table, and what `facts` names. It is
    called on arbitrary pieces of the table, so the key of a row may depend on its own entries and on `spread` alone.
    With `several` score columns `wanted` is (n, M) and `spread` a tuple of M.

    What takes an exact rank is declared, and done for every strategy by the same exact cut, within each group of
    `stratify`: with `drop="beta"` the round(beta n) rows with the largest `wanted` come last, whatever their key; with
    `reach="learned"` so do as few rows with the largest `wanted` as it takes that those after them, as many as are to be
    kept, have a mean of at least that option in the second score column (read as it is, not turned); with
    `layers="strata"` the range of what is left is cut into that many layers of equal width, the kept rows are shared
    among them as evenly as their sizes allow, and keys are compared within a layer. With `least="least"` the groups of
    `stratify` get no share of their own: each keeps at least that part of an even share of all that are kept (as far as it
    has rows), and the other kept rows are those with the largest keys of the whole table.

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
        options = _options_of(function)
        for option in (drop, reach, layers, least):
            if option is not None and option not in options:
                raise ValueError(
                    f"{function.__qualname__}: it declares option '{option}' and does not have it"
                )
        _REGISTRY[name] = Strategy(
            name,
            function,
            source,
            reads_score,
            needs_stratify,
            several,
            facts,
            drop,
            reach,
            layers,
            least,
            by,
            options,
        )
        return function

    return enter


def strategies() -> dict[str, Strategy]:
    """Every strategy by name, in alphabetical order.

    >>> [name for name, entry in strategies().items() if not entry.reads_score]
    ['random', 'stratified']
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
