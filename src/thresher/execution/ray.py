"""The engine `ray`: a Ray actor per GPU, or per some cores, each of which runs one task at a time."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

from thresher.errors import UserError
from thresher.execution.dispatch import Lost, dispatch
from thresher.execution.engines import Args, Place, Result, engine
from thresher.execution.remote_worker import Worker, requirements_of
from thresher.progress import say

if TYPE_CHECKING:
    from ray import ObjectRef
    from ray.actor import ActorHandle

PATIENCE = 5.0  # seconds that a cluster may take to answer
NO_NODE = 30.0  # seconds without a result after which a missing node is reported


def check(place: Place) -> None:
    """Refuse where Ray is not installed, or nothing listens on the cluster's port."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise UserError('the engine ray needs Ray: pip install "thresher[ray]"') from error
    address = place.address or os.environ.get("RAY_ADDRESS", "")
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isdecimal():
        # Ray itself tries for minutes, and then ends the process.
        try:
            socket.create_connection((host, int(port)), PATIENCE).close()
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"--address {address}: no Ray cluster answers there ({reason})") from error


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[ModuleType]:
    """Ray, connected to a cluster. A connection that the caller made is used and stays open."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield ray
        return
    try:
        with _own_sigterm_handler():
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
    except Exception as error:
        line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"--address {address or 'auto'}: cannot join the Ray cluster ({line})") from error
    try:
        # Ray prints the end of a lost node's log on stdout, where the result of a command is expected.
        with contextlib.redirect_stdout(io.StringIO()):
            yield ray
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _own_sigterm_handler() -> Iterator[None]:
    """Put the SIGTERM handler back that `ray.init` replaces by its own, which exits with code 1."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, before)


@engine("ray", check)
def run(
    function: Callable[[*Args], Result],
    tasks: Sequence[tuple[*Args]],
    workers: int | None,
    threads: int,
    place: Place,
) -> Iterator[tuple[int, Result]]:
    """Run tasks on the workers of a Ray cluster. A lost worker or machine costs the task that it held, which is run again.

    Raises UserError: the cluster cannot be joined; a machine has other versions or does not see the shared file; a task failed
    three times.
    """
    if not tasks:
        return
    cores = place.cores or threads
    with connected(place.address) as ray:
        gpu = ray.cluster_resources().get("GPU", 0) > 0
        resources = {"num_gpus": 1, "num_cpus": cores} if gpu else {"num_cpus": cores}
        workers = min(workers or places(ray, gpu, cores), len(tasks))
        actor = ray.remote(**resources, max_restarts=0)(Worker)
        required, sent = requirements_of(place), ray.put(function)
        say(f"ray: at most {workers} workers on {sum(node['Alive'] for node in ray.nodes())} nodes")

        def start() -> tuple[ActorHandle[Worker], ObjectRef[None]]:
            worker = actor.remote()
            return worker, worker.ready.remote(required, threads)

        def give(worker: ActorHandle[Worker], i: int) -> ObjectRef[Result]:
            return worker.run.remote(sent, tasks[i])

        def first(tickets: list[ObjectRef[Result]]) -> ObjectRef[Result]:
            done = ray.wait(tickets, timeout=NO_NODE)[0]
            if not done and not ray.cluster_resources().get("CPU", 0) >= cores:
                say(f"ray: waiting for a node with {cores} cores to join the cluster")
            return done[0] if done else ray.wait(tickets)[0][0]

        def result(ticket: ObjectRef[Result]) -> Result:
            try:
                return ray.get(ticket)
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, Exception) else error from None
            except ray.exceptions.RayError as error:
                raise Lost("a worker was lost (its process was killed, or its node left)") from error

        yield from dispatch(range(len(tasks)), workers, start, give, first, result, say)


def places(ray: ModuleType, gpu: bool, cores: int) -> int:
    """The number of workers that the machines of the cluster hold; none is an error."""
    alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    count = sum(
        int(min(node.get("GPU", 0) if gpu else node.get("CPU", 0), node.get("CPU", 0) // cores))
        for node in alive
    )
    if not count:
        raise UserError(
            f"no node of the Ray cluster has {cores} cores; give measure.cores, or --workers for nodes to come"
        )
    return count
