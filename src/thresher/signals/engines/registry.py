"""The table of engines.

An engine is a function that measures chunks of a plan, leaves a part file of each in the run folder, and yields the number
of rows of each as it is finished. It may not change a score: none of its settings is in the hash of a plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from thresher.config import MeasureConfig
from thresher.registry import Entry, Registry
from thresher.signals.plan import Plan

Say = Callable[[str], None]
Measure = Callable[[Plan, Sequence[int], MeasureConfig, Say], Iterator[int]]
Check = Callable[[MeasureConfig], None]


@dataclass(frozen=True, kw_only=True)
class Engine(Entry[Measure]):
    """An engine: the function, and `check`, which refuses settings that it cannot work with, before hours are spent."""

    check: Check = lambda settings: None


ENGINES = Registry("engine", "engines", Engine)
engine = ENGINES.register
engines = ENGINES.all
find = ENGINES.find


def check_engine(settings: MeasureConfig) -> None:
    """Refuse an engine that could not start, before anything is trained or measured.

    Raises
    ------
    UserError
        an unknown engine, a missing package, or a cluster or store that does not answer.

    >>> check_engine(MeasureConfig())
    """
    find(settings.engine).check(settings)
