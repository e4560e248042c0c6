"""What scores there are, and what each can be told.

A score is a function from the signals table and the checkpoints table of one run to a column. `@score` enters
it here; its options are its keyword-only arguments, read from the signature, so that a new score is one new
file and nothing else.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_type_hints

import polars as pl

from thresher.errors import UserError
from thresher.scores.options import convert, describe

ScoreFunction = Callable[..., pl.Series]
Function = TypeVar("Function", bound=ScoreFunction)
SUFFIXES = ("class", "dataset", "rank")
FORMS = tuple(f"_{suffix}" for suffix in SUFFIXES)


@dataclass(frozen=True)
class Option:
    """A keyword-only argument of a score: its type as annotated and its default."""

    name: str
    annotation: Any
    default: Any


@dataclass(frozen=True)
class Score:
    """What the command line, the report and the tests know about a score.

    `needs`: the columns of the signals table it reads with default options. `hard`: the end of the score at
    which the hard rows are. `runs`: 1 when one training run gives it (run 0 is used), "all" when it is
    averaged over the runs. `normalise`: the column that `auto` selects by; only where it is
    "rank" is there one of ranks. `reads`: "row" when a row's score
    depends on that row alone, "rows" when it depends on the other rows too (neighbours), "scores" when it is
    made from other scores. `cost` and `source`: sentences for people.
    """

    name: str
    function: ScoreFunction
    needs: tuple[str, ...]
    hard: Literal["high", "low"]
    runs: Literal[1, "all"]
    normalise: Literal["class", "dataset", "rank", "raw"]
    reads: Literal["row", "rows", "scores"]
    cost: str
    source: str
    options: Mapping[str, Option] = field(repr=False)


_REGISTRY: dict[str, Score] = {}


def score(
    name: str,
    *,
    needs: tuple[str, ...],
    hard: Literal["high", "low"],
    runs: Literal[1, "all"],
    cost: str,
    source: str,
    normalise: Literal["class", "dataset", "rank", "raw"] = "raw",
    reads: Literal["row", "rows", "scores"] = "row",
) -> Callable[[Function], Function]:
    """Enter a function `(signals, checkpoints, *, options...) -> pl.Series` as the score `name`.

    One that is made from other scores (`reads="scores"`) is a function `(table, signals, *, options...)`: the score
    table of the others, averaged over the runs, and the signals of run 0 in the same order. The function itself stays
    callable as it is.

    Raises
    ------
    ValueError
        two scores of one name, a name that ends like a normalised column, or an option without type or
        default: a mistake in the score's file.

    >>> scores()["el2n"].needs, scores()["el2n"].reads
    (('logits',), 'row')
    """

    def enter(function: Function) -> Function:
        if name.endswith(FORMS) or name in ("id", "label"):
            raise ValueError(f"score {name!r}: the name is taken by a column of the score table")
        if name in _REGISTRY and _REGISTRY[name].function.__module__ != function.__module__:
            raise ValueError(f"score {name!r} is defined twice")
        _REGISTRY[name] = Score(
            name, function, needs, hard, runs, normalise, reads, cost, source, _options_of(function)
        )
        return function

    return enter


def scores() -> dict[str, Score]:
    """Every score by name, in alphabetical order.

    >>> scores()["pvi"].hard
    'low'
    """
    return {name: _REGISTRY[name] for name in sorted(_REGISTRY)}


def find(name: str) -> Score:
    """The score of that name.

    Raises
    ------
    UserError
        there is none.

    >>> find("vog").runs
    1
    """
    if name not in _REGISTRY:
        raise UserError(f"unknown score '{name}'; known scores: {', '.join(scores())}")
    return _REGISTRY[name]


def check_options(options: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """The options of every score: the defaults, overridden by what was given, as the annotated types.

    Raises
    ------
    UserError
        an unknown score or option, or a value that the option does not take.

    >>> check_options({"el2n": {"epoch": "3"}})["el2n"]
    {'checkpoint': None, 'epoch': 3.0}
    """
    given = options or {}
    for name, values in given.items():
        known = find(name).options
        for option in values:
            if option not in known:
                has = f"it has {', '.join(known)}" if known else "it has none"
                raise UserError(f"score '{name}' has no option '{option}'; {has}")
    return {
        name: {
            option.name: _converted(name, option, given[name][option.name])
            if option.name in given.get(name, {})
            else option.default
            for option in entry.options.values()
        }
        for name, entry in scores().items()
    }


def parse_options(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """`SCORE.OPTION=VALUE` lines, as the command line takes them, as a dictionary for `check_options`.

    Raises
    ------
    UserError
        a text of another form, or what `check_options` refuses.

    >>> parse_options(["vog.window=late", "vog.reduce=mean"])
    {'vog': {'window': 'late', 'reduce': 'mean'}}
    """
    options: dict[str, dict[str, str]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        name, dot, option = place.strip().partition(".")
        if not equals or not dot:
            raise UserError(f"score option '{text}': write SCORE.OPTION=VALUE, for example vog.window=late")
        options.setdefault(name, {})[option] = value.strip()
    check_options(options)
    return options


def _converted(name: str, option: Option, value: Any) -> Any:
    try:
        return convert(value, option.annotation)
    except ValueError:
        wanted = describe(option.annotation)
        raise UserError(f"score '{name}': option '{option.name}' is '{value}'; it takes {wanted}") from None


def _options_of(function: ScoreFunction) -> dict[str, Option]:
    hints = get_type_hints(function)
    arguments = [
        argument
        for argument in inspect.signature(function).parameters.values()
        if argument.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    for argument in arguments:
        if argument.default is inspect.Parameter.empty or argument.name not in hints:
            raise ValueError(f"{function.__qualname__}: option '{argument.name}' needs a type and a default")
    return {
        argument.name: Option(argument.name, hints[argument.name], argument.default) for argument in arguments
    }
