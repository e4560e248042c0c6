"""Public functions refuse an argument that they do not have, with the nearest one that they have."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from thresher.caller import set_aside, warn_of_fork
from thresher.errors import UserError
from thresher.wording import did_you_mean, listed

P = ParamSpec("P")
T = TypeVar("T")


def public(function: Callable[P, T]) -> Callable[P, T]:
    """The same function, whose unknown arguments are refused in one line.

    >>> @public
    ... def select(run: str, *, prune: float = 0.45) -> float:
    ...     return prune
    >>> select("RUN", prun=0.3)
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: select() has no argument 'prun'; did you mean 'prune'?
    """
    known = list(inspect.signature(function).parameters)

    @functools.wraps(function)
    def called(*given: P.args, **named: P.kwargs) -> T:
        for name in named:
            if name not in known:
                near = did_you_mean(name, known) or f"; it takes {listed(known, 100)}"
                raise UserError(f"{function.__name__}() has no argument '{name}'{near}")
        warn_of_fork()
        with set_aside():
            return function(*given, **named)

    return called
