"""The engine `local`: processes of this machine, each with its own share of the cores."""

from __future__ import annotations

import contextlib
import multiprocessing.process
import multiprocessing.resource_tracker
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from pathlib import Path

from thresher.errors import UserError
from thresher.execution.cores import share_cores
from thresher.execution.engines import Args, Place, Result, engine
from thresher.execution.torchrun import die_with, world

INTERRUPTIONS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
POLL = 0.2  # seconds
AHEAD = 4  # tasks that wait beside those that run


@engine("local")
def run(
    function: Callable[[*Args], Result],
    tasks: Sequence[tuple[*Args]],
    workers: int | None,
    threads: int,
    place: Place,
) -> Iterator[tuple[int, Result]]:
    """Run tasks in this process where there is one worker, else in processes that end with this one.

    Raises UserError: a worker was killed (usually out of memory), or torchrun started this process.
    """
    import torch

    if world() > 1:
        raise UserError("torchrun is for `thresher train`; run the other steps once, without it")
    workers = min(workers or share_cores(len(tasks))[0], len(tasks))
    if multiprocessing.process.current_process().daemon:
        workers = 1  # a daemonic process may not start others
    if workers > 1:
        yield from _run_in_processes(function, tasks, workers, threads)
        return
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for i, task in enumerate(tasks):
            yield i, function(*task)
    finally:
        torch.set_num_threads(before)


def _run_in_processes(
    function: Callable[[*Args], Result], tasks: Sequence[tuple[*Args]], workers: int, threads: int
) -> Iterator[tuple[int, Result]]:
    from loky import ProcessPoolExecutor

    # A first training makes a worker larger. loky takes that for a leak and replaces the worker, which changes no result.
    warnings.filterwarnings("ignore", "A worker was restarted", module="loky")
    # loky's processes do not import the caller's script, so it needs no `if __name__ == "__main__"`.
    pool = ProcessPoolExecutor(workers, initializer=_start_worker, initargs=(threads, os.getpid()))
    try:
        waiting, pending = enumerate(tasks), dict[Future[Result], int]()

        def submit(count: int) -> None:
            """A task is read when it is submitted, and few are at a time: some hold the texts of many rows."""
            with _interruptions_blocked():
                for i, task in islice(waiting, count):
                    pending[pool.submit(function, *task)] = i

        submit(workers + AHEAD)
        while pending:
            # With a time limit, because polars installs its SIGINT handler with SA_RESTART: without one, Ctrl-C is
            # answered when the first task ends.
            done, _ = wait(pending, timeout=POLL, return_when=FIRST_COMPLETED)
            for future in done:
                i = pending.pop(future)
                submit(1)
                yield i, future.result()
    except BrokenProcessPool as error:
        raise UserError(
            "a worker process was killed (out of memory?); run the same command again with --workers 1"
        ) from error
    finally:
        pool.shutdown(wait=True, kill_workers=True)


@contextlib.contextmanager
def _interruptions_blocked() -> Iterator[None]:
    """Inside, processes start with Ctrl-C and its like blocked, and this process answers them afterwards.

    They reach every process of the group. A worker that is still importing would print a traceback.
    """
    # Started here, because starting it unblocks signals.
    multiprocessing.resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTIONS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(threads: int, parent: int) -> None:
    import torch

    die_with(parent)
    for number in INTERRUPTIONS:
        signal.signal(number, signal.SIG_IGN)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(threads)


@contextlib.contextmanager
def counts_followed(files: Sequence[Path], advance: Callable[[float], None]) -> Iterator[None]:
    """Inside, report to `advance` how far the counts in some files have come, which other processes write."""
    seen = dict.fromkeys(files, 0)
    over = threading.Event()

    def follow() -> None:
        while not over.wait(0.5):
            for file in files:
                with contextlib.suppress(OSError, ValueError):
                    count = int(file.read_text())
                    advance(max(0, count - seen[file]))
                    seen[file] = max(seen[file], count)

    thread = threading.Thread(target=follow, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
