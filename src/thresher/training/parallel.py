"""Independent trainings and measurements side by side: one process each, each with its own share of the cores."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch
from loky import ProcessPoolExecutor

from thresher.errors import UserError
from thresher.training.processes import die_with, world


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_cores(jobs: int, workers: int | None = None) -> tuple[int, int]:
    """How many of `jobs` to run at a time, and the threads of each, so that all cores are used and none twice.

    It depends on how many jobs there are in all, not on how many are left after an interruption: floating-point sums
    depend on the number of threads, and a resumed run must give the same numbers. On a GPU jobs run one by one.

    >>> workers, threads = share_cores(10**6)
    >>> workers == cores(), threads
    (True, 1)
    """
    if torch.cuda.is_available():
        return workers or 1, cores()
    at_a_time = max(1, min(workers or cores(), jobs))
    return at_a_time, max(1, cores() // max(1, min(cores(), jobs)))


@contextlib.contextmanager
def steps_watched(files: Sequence[Path], advance: Callable[[float], None]) -> Iterator[None]:
    """Inside the block, tell `advance` how far the counts in some files have come: other processes write them."""
    seen = dict.fromkeys(files, 0)
    over = threading.Event()

    def watch() -> None:
        while not over.wait(0.5):
            for file in files:
                with contextlib.suppress(OSError, ValueError):
                    count = int(file.read_text())
                    advance(max(0, count - seen[file]))
                    seen[file] = max(seen[file], count)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _start_worker(threads: int, parent: int) -> None:
    die_with(parent)
    # Ctrl-C reaches the whole group; the parent alone answers it, and ends the workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
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
        a worker was killed (out of memory, most often), or torchrun started this process.
    """
    if world() > 1:
        raise UserError("torchrun is for `thresher train`; run the other steps once, without it")
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
    # A first training makes a worker larger, which loky takes for a leak; it is replaced between jobs, and no result changes.
    warnings.filterwarnings("ignore", "A worker was restarted", module="loky")
    # loky's processes do not import the caller's script, so it needs no `if __name__ == "__main__"`.
    pool = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(threads, os.getpid()))
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
