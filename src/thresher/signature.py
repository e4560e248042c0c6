"""Public functions refuse an argument that they do not have, with the nearest one that they have."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

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


def given(**values: Any) -> Mapping[str, Any]:
    """The arguments that were given: those that are not None, numbers of NumPy as Python's, arrays as lists, paths as texts.

    >>> from pathlib import Path
    >>> given(prune=0.3, by=None, model=Path("tiny"))
    {'prune': 0.3, 'model': 'tiny'}
    """
    return {name: _plain(value) for name, value in values.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    # Arrays and scalars of NumPy and torch, and series of polars and pandas.
    for name in ("tolist", "to_list"):
        if callable(getattr(value, name, None)):
            return getattr(value, name)()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, Mapping) else value
