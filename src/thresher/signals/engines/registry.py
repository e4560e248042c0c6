"""What engines there are.

An engine is a function that measures chunks of a plan, leaves a part file of each in the run folder, and yields the number
of rows of each as it is finished. It may not change a score: none of its settings is in the hash of a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from thresher.config import MeasureConfig
from thresher.errors import UserError
from thresher.signals.plan import Plan

Say = Callable[[str], None]
Measure = Callable[[Plan, Sequence[int], MeasureConfig, Say], Iterator[int]]
Check = Callable[[MeasureConfig], None]


class Engine(NamedTuple):
    """An engine: the function, and what refuses settings that it could not work with, before hours are spent."""

    measure: Measure
    check: Check


_REGISTRY: dict[str, Engine] = {}


def engine(name: str, check: Check = lambda settings: None) -> Callable[[Measure], Measure]:
    """Enter a function `(plan, chunks, settings, say) -> Iterator[int]` as the engine `name`."""

    def enter(function: Measure) -> Measure:
        _REGISTRY[name] = Engine(function, check)
        return function

    return enter


def engines() -> dict[str, Engine]:
    """Every engine by name, in alphabetical order.

    >>> list(engines())
    ['local', 'ray']
    """
    return {name: _REGISTRY[name] for name in sorted(_REGISTRY)}


def find(name: str) -> Engine:
    """The engine of that name.

    Raises
    ------
    UserError
        there is none.

    >>> find("spark")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: unknown engine 'spark'; known engines: local, ray
    """
    if name not in _REGISTRY:
        raise UserError(f"unknown engine '{name}'; known engines: {', '.join(engines())}")
    return _REGISTRY[name]


def check_engine(settings: MeasureConfig) -> None:
    """Refuse an engine that could not start, before anything is trained or measured.

    Raises
    ------
    UserError
        an unknown engine, a missing package, or a cluster or store that does not answer.

    >>> check_engine(MeasureConfig())
    """
    find(settings.engine).check(settings)
