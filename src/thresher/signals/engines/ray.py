"""Many machines: a Ray actor per GPU, or per some cores, each of which measures one chunk at a time."""

from __future__ import annotations

import contextlib
import io
import os
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from thresher.config import MeasureConfig
from thresher.errors import UserError
from thresher.files import write
from thresher.signals.dispatch import Lost, dispatch
from thresher.signals.engines.registry import Say, engine
from thresher.signals.plan import Plan, part_fault
from thresher.signals.store import check_store, work_folder

if TYPE_CHECKING:
    from thresher.signals.away import Material

PATIENCE = 5.0  # seconds that a cluster may take to answer
NO_NODE = 30.0  # seconds without a result after which it is told that there is no node left


class Worker:
    """The actor: a folder of its own that looks like the run folder, and one thread."""

    def __init__(self, things: Material, plan: Plan) -> None:
        self.things, self.plan = things, plan
        self.folder = work_folder()

    def ready(self, wanted: dict[str, str]) -> None:
        """Lay the folder out; refuse to work with other versions than the driver's."""
        import torch

        from thresher.signals.away import lay_out, version_fault

        torch.set_num_threads(1)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        if fault := version_fault(wanted):
            raise UserError(f"{here()} {fault}")
        with named():
            lay_out(self.things, self.plan, self.folder)

    def measure(self, chunk: int, slab: str | None) -> bytes:
        """The part file of a chunk."""
        from thresher.signals.away import measure_away

        with named():
            return measure_away(self.things, self.plan, chunk, slab, self.folder)


def here() -> str:
    """How this machine is called in messages."""
    return f"node {socket.gethostname()}"


@contextlib.contextmanager
def named() -> Iterator[None]:
    """Say in a user's error on which machine it happened."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{here()}: {error}") from error


def check(settings: MeasureConfig) -> None:
    """Whether Ray is installed, the cluster's port is open, and the store can be written to."""
    try:
        import ray  # noqa: F401
    except ImportError as error:
        raise UserError('the engine ray needs Ray: pip install "thresher[ray]"') from error
    address = settings.address or os.environ.get("RAY_ADDRESS", "")
    host, colon, port = address.rpartition("//")[2].rpartition(":")
    if colon and port.isdecimal():
        # Ray itself tries for minutes, and then ends the process.
        try:
            socket.create_connection((host, int(port)), PATIENCE).close()
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"--address {address}: no Ray cluster answers there ({reason})") from error
    if settings.store:
        check_store(settings.store)


@contextlib.contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster; one that the caller is connected to already is used and left as it is."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        yield ray
        return
    try:
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


@engine("ray", check=check)
def measure(plan: Plan, chunks: Sequence[int], settings: MeasureConfig, say: Say) -> Iterator[int]:
    """Measure chunks on the workers of a Ray cluster; yields the rows of each finished chunk.

    This process alone writes into the run folder: parts come back as the bytes that the worker wrote, at most one per worker
    on the way. A worker or a machine that is lost costs the chunk it had in hand, which is measured again.

    Raises
    ------
    UserError
        the cluster cannot be joined, machines have other versions, or a chunk failed three times.
    """
    if not chunks:
        return
    # Here, for a look at the settings should not wait for torch.
    from thresher.signals.away import material, row_sender, versions

    with connected(settings.address) as ray:
        gpu = ray.cluster_resources().get("GPU", 0) > 0
        share = {"num_gpus": 1, "num_cpus": settings.cores} if gpu else {"num_cpus": settings.cores}
        workers = min(settings.workers or places(ray, gpu, settings.cores), len(chunks))
        things = ray.put(material(plan, settings.store))
        send = row_sender(plan, settings.store)
        wanted = versions()
        actor = ray.remote(**share, max_restarts=0)(Worker)
        say(f"measure: {workers} Ray workers on {sum(node['Alive'] for node in ray.nodes())} nodes")

        def start() -> tuple[Any, Any]:
            worker = actor.remote(things, plan)
            return worker, worker.ready.remote(wanted)

        def give(worker: Any, chunk: int) -> Any:
            return worker.measure.remote(chunk, send(chunk))

        def first(tickets: list[Any]) -> Any:
            done = ray.wait(tickets, timeout=NO_NODE)[0]
            if not done and not ray.cluster_resources().get("CPU", 0) >= settings.cores:
                say(f"measure: waiting for a node with {settings.cores} cores to join the Ray cluster")
            return done[0] if done else ray.wait(tickets)[0][0]

        for chunk, part in dispatch(chunks, workers, start, give, first, partial(result, ray), say):
            write(plan.part(chunk), part)
            fault = part_fault(plan, chunk)
            if fault is not None:
                raise UserError(f"{plan.part(chunk)}: came back {fault}; run the same command again")
            yield plan.rows_of(chunk)[1]


def result(ray: Any, ticket: Any) -> Any:
    """What a done ticket holds; a job's own error, or `Lost` where its process or machine is gone."""
    try:
        return ray.get(ticket)
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, Exception) else error from None
    except ray.exceptions.RayError as error:
        raise Lost("a worker was lost (its process was killed, or its node left)") from error


def places(ray: Any, gpu: bool, cores: int) -> int:
    """How many workers the machines of the cluster hold; none is an error."""
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
