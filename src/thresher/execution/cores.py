"""The cores of this machine, shared by tasks that run side by side."""

from __future__ import annotations

import os


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def share_cores(tasks: int, workers: int | None = None) -> tuple[int, int]:
    """The number of tasks to run at a time, and the threads of each: all cores are used, and none twice.

    `tasks` is the number of all tasks, not of those that an interruption left: floating-point sums depend on the number of
    threads, and a resumed run must give the same numbers. On a GPU, tasks run one by one.

    >>> workers, threads = share_cores(10**6)
    >>> workers == cores(), threads
    (True, 1)
    """
    # Imported here: checking the settings of an engine must not wait for torch.
    import torch

    if torch.cuda.is_available():
        return workers or 1, cores()
    at_a_time = max(1, min(workers or cores(), tasks))
    return at_a_time, max(1, cores() // max(1, min(cores(), tasks)))
