"""Independent trainings and measurements side by side: one process each, each with its own share of the cores."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from loky import ProcessPoolExecutor

from thresher.errors import UserError


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def default_workers() -> int:
    """Processes at a time: one per core, but one in all where there is a GPU to share."""
    return 1 if torch.cuda.is_available() else cores()


def _start_worker(threads: int) -> None:
    if sys.platform == "linux":
        # A killed parent must not leave workers that go on writing beside the next attempt.
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(threads)


def run_jobs(
    job: Callable[..., Any], arguments: Sequence[tuple[Any, ...]], workers: int, threads: int = 1
) -> Iterator[tuple[int, Any]]:
    """Run `job(*arguments[i])` for every i, at most `workers` at a time; yields (i, result) as they finish.

    The number of threads of a job does not depend on how many jobs run beside it: floating-point sums, and so the
    results, are the same with any number of workers.

    Raises
    ------
    UserError
        a worker was killed (out of memory, most often).
    """
    if not arguments:
        return
    workers = min(workers, len(arguments))
    if workers == 1:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            for i, given in enumerate(arguments):
                yield i, job(*given)
        finally:
            torch.set_num_threads(before)
        return
    # loky's processes do not import the caller's script, so it needs no `if __name__ == "__main__"`.
    pool = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(threads,))
    try:
        pending: dict[Future[Any], int] = {pool.submit(job, *given): i for i, given in enumerate(arguments)}
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed (out of memory?); run the same command again with --workers 1"
        ) from error
    finally:
        pool.shutdown(wait=True, kill_workers=True)
