"""Tasks for workers that may be lost: every task is done once, whichever workers are lost."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.errors import UserError
from thresher.execution.dispatch import ATTEMPTS, Lost, dispatch


class FakeCluster:
    """Workers that are lost, at the start or while they hold a task, and tasks that fail, all decided by a seed."""

    def __init__(self, seed: int, losses: float = 0.0, broken: dict[int, Exception] | None = None) -> None:
        self.draw, self.losses, self.broken = random.Random(seed), losses, broken or {}
        self.alive: dict[int, int | None] = {}
        self.given: Counter[int] = Counter()
        self.most_alive = self.most_held = 0
        self.tickets: dict[int, tuple[int, int | None]] = {}
        self.lost_with: Counter[int | None] = Counter()

    def start(self) -> tuple[int, int]:
        worker = len(self.tickets)
        self.alive[worker] = None
        self.most_alive = max(self.most_alive, len(self.alive))
        return worker, self._ticket(worker, None)

    def give(self, worker: int, task: int) -> int:
        assert self.alive[worker] is None, "a worker holds one task at a time"
        self.alive[worker] = task
        self.given[task] += 1
        self.most_held = max(self.most_held, sum(held is not None for held in self.alive.values()))
        return self._ticket(worker, task)

    def _ticket(self, worker: int, task: int | None) -> int:
        ticket = len(self.tickets)
        self.tickets[ticket] = worker, task
        return ticket

    def first(self, tickets: list[int]) -> int:
        return self.draw.choice(tickets)

    def result(self, ticket: int) -> Any:
        worker, task = self.tickets[ticket]
        # No task is lost so often that it is given up, so every run must finish all of them.
        if self.draw.random() < self.losses and self.lost_with[task] < ATTEMPTS - 1:
            self.lost_with[task] += 1
            del self.alive[worker]
            raise Lost("gone")
        self.alive[worker] = None
        if task in self.broken:
            raise self.broken[task]
        return None if task is None else task * task

    def run(self, tasks: list[int], workers: int, **more: Any) -> list[tuple[int, int]]:
        return list(dispatch(tasks, workers, self.start, self.give, self.first, self.result, **more))


@given(st.integers(0, 2**32), st.sets(st.integers(0, 500), max_size=40), st.integers(1, 9), st.floats(0, 0.6))
def test_every_task_is_done_once_even_if_workers_are_lost(seed, tasks, workers, losses):
    cluster, said = FakeCluster(seed, losses), []
    done = cluster.run(sorted(tasks), workers, say=said.append)
    assert sorted(done) == [(task, task * task) for task in sorted(tasks)]
    assert max(cluster.most_alive, cluster.most_held) <= workers
    again = {task: count - 1 for task, count in cluster.given.items() if count > 1}
    assert again == {task: count for task, count in cluster.lost_with.items() if task is not None}
    assert len(said) == sum(again.values())


@given(st.integers(0, 2**32), st.integers(1, 5))
def test_a_task_that_always_fails_is_given_up_with_its_reason(seed, workers):
    cluster = FakeCluster(seed, broken={7: ValueError("no such\nthing")})
    with pytest.raises(UserError) as given_up:
        cluster.run(list(range(20)), workers)
    assert str(given_up.value) == (
        "task 7 was given up after 3 attempts (the last one: no such); run the same command again"
    )
    assert cluster.given[7] == 3


def test_a_user_error_is_not_tried_again():
    cluster = FakeCluster(0, broken={2: UserError("rows.parquet: gone")})
    with pytest.raises(UserError, match=r"^rows\.parquet: gone$"):
        cluster.run([0, 1, 2, 3], 1)
    assert cluster.given[2] == 1


def test_workers_that_never_start_are_given_up():
    cluster = FakeCluster(0)

    def never(ticket: int) -> None:
        del cluster.alive[cluster.tickets[ticket][0]]
        raise Lost("no module named thresher")

    with pytest.raises(UserError) as given_up:
        list(dispatch([1, 2, 3], 2, cluster.start, cluster.give, cluster.first, never))
    assert str(given_up.value) == (
        "no worker could be started after 5 attempts (the last one: no module named thresher); "
        "run the same command again"
    )


def test_a_worker_that_waits_for_its_machine_blocks_no_task():
    """The second worker is never ready; the first one does all tasks."""
    cluster = FakeCluster(0)

    def first_worker_only(tickets: list[int]) -> int:
        return next(ticket for ticket in tickets if cluster.tickets[ticket][0] == 0)

    done = list(dispatch(range(9), 2, cluster.start, cluster.give, first_worker_only, cluster.result))
    assert [task for task, _ in done] == list(range(9))
