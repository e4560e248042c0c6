"""The table of engines. An engine runs a function on independent tasks; all engines give the same results.

To add an engine, add a file to this folder with a function under `@engine`. Its signature is that of `run_tasks`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, TypeVarTuple

from thresher import execution
from thresher.config import MeasureConfig
from thresher.errors import UserError
from thresher.execution.remote_store import check_store

Args = TypeVarTuple("Args")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Place:
    """Where tasks run: the name of an engine and, for one that uses other machines, how to reach and use them.

    Attributes
    ----------
    address
        of the cluster, HOST:PORT.
    cores
        that the cluster reserves for each worker; default: as many as a task has threads.
    shared_file
        a file that every machine must see with the content that it has here, for tasks that use a shared file system.
    """

    engine: str = "local"
    address: str | None = None
    cores: int | None = None
    shared_file: Path | None = None


LOCAL = Place()


def place_of(settings: MeasureConfig) -> Place:
    """Where rows are encoded and measured."""
    return Place(settings.engine, settings.address, settings.cores)


class Run(Protocol):
    """The function of an engine; see `run_tasks`."""

    def __call__(
        self,
        function: Callable[[*Args], Result],
        tasks: Sequence[tuple[*Args]],
        workers: int | None,
        threads: int,
        place: Place,
        /,
    ) -> Iterator[tuple[int, Result]]: ...


Check = Callable[[Place], None]
_ENGINES: dict[str, tuple[Run, Check]] = {}


def engine(name: str, check: Check = lambda place: None) -> Callable[[Run], Run]:
    """Register a function as the engine `name`; `check` refuses a place before any work is done."""

    def register(run: Run) -> Run:
        _ENGINES[name] = run, check
        return run

    return register


def find_engine(name: str) -> tuple[Run, Check]:
    """The function and the check of an engine.

    Raises UserError: there is no such engine.

    >>> find_engine("spark")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: unknown engine 'spark'; known engines: local, ray
    """
    for module in pkgutil.iter_modules(execution.__path__, "thresher.execution."):
        importlib.import_module(module.name)
    if name not in _ENGINES:
        raise UserError(f"unknown engine '{name}'; known engines: {', '.join(sorted(_ENGINES))}")
    return _ENGINES[name]


def check_engine(place: Place, store: str | None = None) -> None:
    """Refuse an engine that cannot start, before anything is trained or measured.

    Raises UserError: an unknown engine, a missing package, a cluster that does not answer, or a remote store that cannot be
    written or that the engine does not use.

    >>> check_engine(LOCAL)
    """
    find_engine(place.engine)[1](place)
    if place.address and place.engine == "local":
        raise UserError(f"--address {place.address} is of a Ray cluster; give --engine ray, or leave it out")
    if store and place.engine == "local":
        raise UserError(
            f"--store {store} is for an engine on other machines; give --engine ray, or leave it out"
        )
    if store:
        check_store(store)


def run_tasks(
    function: Callable[[*Args], Result],
    tasks: Sequence[tuple[*Args]],
    workers: int | None = None,
    threads: int = 1,
    place: Place = LOCAL,
) -> Iterator[tuple[int, Result]]:
    """Run `function(*tasks[i])` for every i and yield (i, result) as they finish.

    Neither the engine nor the number of workers may change a result: floating-point sums depend on `threads` alone.

    Parameters
    ----------
    function
        the same for all tasks; an engine on other machines pickles it (cloudpickle).
    tasks
        its arguments. A task is read when a worker is ready for it.
    workers
        tasks at a time, at most; default: what the cores of the machine, or of the cluster, hold.
    threads
        torch threads of each task.

    Raises UserError: raised by a task, or workers were lost too often.

    >>> list(run_tasks(pow, [(2, 3), (3, 2)], workers=1))
    [(0, 8), (1, 9)]
    """
    return find_engine(place.engine)[0](function, tasks, workers, threads, place)
