"""Tasks for workers that may be lost: the task of a lost worker goes back into the queue."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from thresher.errors import UserError

Worker = TypeVar("Worker")
Ticket = TypeVar("Ticket")
Result = TypeVar("Result")
ATTEMPTS = 3


class Lost(Exception):
    """A worker is gone: its process was killed, or its machine left."""


def dispatch(
    tasks: Sequence[int],
    workers: int,
    start: Callable[[], tuple[Worker, Ticket]],
    give: Callable[[Worker, int], Ticket],
    first: Callable[[list[Ticket]], Ticket],
    result: Callable[[Ticket], Result],
    say: Callable[[str], None] = lambda line: None,
    attempts: int = ATTEMPTS,
) -> Iterator[tuple[int, Result]]:
    """Give every task to one of at most `workers` workers; yields (task, result) as they finish.

    A worker holds one task at a time, so at most `workers` results wait anywhere. It gets none before it is ready, so a worker
    that waits for a machine holds up no task.

    Parameters
    ----------
    start
        start a worker; returns it, and a ticket that is done when the worker is ready.
    give
        give a task to a ready worker; returns a ticket.
    first
        wait for one of the tickets to be done.
    result
        the result of a done ticket. Raises `Lost` where the worker is gone (another one is started) and anything else where
        the task failed; both put the task back into the queue.

    Raises UserError: raised by a task, at once; or a task failed, or no worker could be started, `attempts` times.

    >>> def work(worker, task): return worker, task
    >>> done = dispatch([3, 4], 1, lambda: ("w", ("w", None)), work, lambda tickets: tickets[0], lambda t: t)
    >>> list(done)
    [(3, ('w', 3)), (4, ('w', 4))]
    """
    queue = deque(tasks)
    left = len(queue)
    failures: Counter[int | None] = Counter()
    idle: list[Worker] = []
    busy: dict[Ticket, tuple[Worker, int | None]] = {}
    while left:
        while idle and queue:
            worker, task = idle.pop(), queue.popleft()
            busy[give(worker, task)] = worker, task
        # A lost worker is replaced only while there is a task for the new one.
        starting = sum(task is None for _, task in busy.values())
        for _ in range(min(workers - len(busy) - len(idle), len(queue) - starting)):
            worker, ticket = start()
            busy[ticket] = worker, None
        ticket = first(list(busy))
        worker, held = busy.pop(ticket)
        try:
            value = result(ticket)
        except UserError:
            raise
        except Exception as error:
            failures[held] += 1
            line = (str(error).strip() or type(error).__name__).splitlines()[0]
            # Many starting workers may be lost together with their machine, which says nothing about the next one.
            if failures[held] >= attempts + (workers if held is None and isinstance(error, Lost) else 0):
                what = "no worker could be started" if held is None else f"task {held} was given up"
                raise UserError(
                    f"{what} after {failures[held]} attempts (the last one: {line}); run the same command again"
                ) from error
            if held is not None:
                queue.appendleft(held)
                say(f"{line}; task {held} is run again")
            if not isinstance(error, Lost) and held is not None:
                idle.append(worker)
        else:
            failures[None] = 0
            idle.append(worker)
            if held is not None:
                left -= 1
                yield held, value
