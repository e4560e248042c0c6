"""Tasks in processes of this machine."""

from __future__ import annotations

import os
import time

from thresher.execution.engines import run_tasks


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
