"""Chunks to workers that may die: what a lost worker had in hand goes back into the queue."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from thresher.errors import UserError

Worker = TypeVar("Worker")
Ticket = TypeVar("Ticket")
ATTEMPTS = 3


class Lost(Exception):
    """A worker is gone: its process was killed, or its machine left."""


def dispatch(
    chunks: Sequence[int],
    workers: int,
    start: Callable[[], tuple[Worker, Ticket]],
    give: Callable[[Worker, int], Ticket],
    first: Callable[[list[Ticket]], Ticket],
    result: Callable[[Ticket], Any],
    say: Callable[[str], None] = lambda line: None,
    attempts: int = ATTEMPTS,
) -> Iterator[tuple[int, Any]]:
    """Have every chunk done by one of at most `workers` workers; yields (chunk, result) as they finish.

    A worker holds one chunk at a time, so at most `workers` results wait anywhere, and gets none before it is ready: one
    that is waiting for a machine keeps nothing from the others.

    Parameters
    ----------
    start
        begin a worker; returns it, and a ticket that is done when it is ready.
    give
        hand a chunk to a ready worker; returns a ticket.
    first
        wait for one of the tickets to be done.
    result
        what a done ticket holds. Raises `Lost` where the worker is gone (another one is started) and anything else where
        the job failed; both put the chunk back in the queue.

    Raises
    ------
    UserError
        raised by a job, at once; or a chunk failed, or no worker could be started, `attempts` times.

    >>> def work(worker, chunk): return worker, chunk
    >>> done = dispatch([3, 4], 1, lambda: ("w", ("w", None)), work, lambda tickets: tickets[0], lambda t: t)
    >>> list(done)
    [(3, ('w', 3)), (4, ('w', 4))]
    """
    queue = deque(chunks)
    left = len(queue)
    failures: Counter[int | None] = Counter()
    idle: list[Worker] = []
    busy: dict[Ticket, tuple[Worker, int | None]] = {}
    while left:
        while idle and queue:
            worker, chunk = idle.pop(), queue.popleft()
            busy[give(worker, chunk)] = worker, chunk
        # One that is lost is replaced only while there is something for the new one to do.
        starting = sum(chunk is None for _, chunk in busy.values())
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
            # Many workers may be lost at the start together with their machine, through no fault of the next one.
            if failures[held] >= attempts + (workers if held is None and isinstance(error, Lost) else 0):
                what = "no worker could be started" if held is None else f"chunk {held} was given up"
                raise UserError(f"{what} after {failures[held]} attempts; the last one: {line}") from error
            if held is not None:
                queue.appendleft(held)
                say(f"{line}; chunk {held} is measured again")
            if not isinstance(error, Lost) and held is not None:
                idle.append(worker)
        else:
            failures[None] = 0
            idle.append(worker)
            if held is not None:
                left -= 1
                yield held, value
