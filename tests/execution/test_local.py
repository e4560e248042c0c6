"""Tasks in processes of this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from thresher.execution.engines import run_tasks
from thresher.execution.local import AHEAD


def test_a_worker_that_has_grown_is_replaced_without_a_warning(monkeypatch, recwarn):
    """loky takes the memory of a first training for a leak, and would warn of one."""
    monkeypatch.setenv("LOKY_MAX_MEMORY_LEAK_SIZE", "2e7")

    def task(i: int) -> tuple[int, int]:
        # In a module that the worker has, so that it stays from task to task.
        vars(os).setdefault("kept", []).append(b"x" * (50_000_000 + i))
        time.sleep(1.1)
        return i, os.getpid()

    found = dict(run_tasks(task, [(i,) for i in range(6)], 2))
    assert [found[i][0] for i in range(6)] == list(range(6))
    assert len({process for _, process in found.values()}) > 2
    assert not [str(one.message) for one in recwarn if "worker" in str(one.message)]


class Counted(Sequence[tuple[int]]):
    """Tasks that note which were read."""

    def __init__(self, count: int) -> None:
        self.count, self.read = count, 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, at: int) -> tuple[int]:
        if at >= self.count:
            raise IndexError(at)
        self.read = max(self.read, at + 1)
        return (at,)


def test_a_task_is_read_when_few_are_waiting():
    tasks = Counted(60)
    found = []
    for at, value in run_tasks(lambda one: one * one, tasks, 2):
        found.append((at, value))
        assert tasks.read <= len(found) + 2 + AHEAD
    assert sorted(found) == [(at, at * at) for at in range(60)] and tasks.read == 60
