"""Trainings of a study on a Ray cluster whose machines all see the run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from thresher.errors import UserError
from thresher.run.files import file_digest
from thresher.signals.dispatch import Lost
from thresher.signals.engines.ray import connected, named, result

RETRIES = 2  # of a training whose process or machine is lost


def on_ray(
    job: Callable[..., Any],
    arguments: Sequence[tuple[Any, ...]],
    workers: int,
    threads: int = 1,
    *,
    address: str | None,
    at_once: int | None,
) -> Iterator[tuple[int, Any]]:
    """Like `run_jobs`, on the machines of a cluster: `job(run, ...)` for every i; yields (i, result) as they finish.

    A job takes as many cores as threads (and a GPU where there are any), so the cluster decides how many run at a time, at
    most `at_once`. Jobs write into the run folder themselves. One whose process or machine is lost is begun again.

    Raises
    ------
    UserError
        the cluster cannot be joined; a machine has other versions or does not see the run folder; a job was lost three times.
    """
    if not arguments:
        return
    from thresher.signals.away import versions

    manifest = Path(arguments[0][0]).resolve() / "run.yaml"
    proof = (manifest, file_digest(manifest), versions())
    with connected(address) as ray:
        gpu = {"num_gpus": 1} if ray.cluster_resources().get("GPU", 0) > 0 else {}
        task = ray.remote(num_cpus=threads, max_retries=RETRIES, **gpu)(away)
        waiting = list(enumerate(arguments))[::-1]
        running: dict[Any, int] = {}
        while waiting or running:
            while waiting and len(running) < (at_once or len(arguments)):
                at, (run, *rest) = waiting.pop()
                running[task.remote(job, (Path(run).resolve(), *rest), threads, proof)] = at
            ticket = ray.wait(list(running))[0][0]
            at = running.pop(ticket)
            try:
                found = result(ray, ticket)
            except Lost as error:
                raise UserError(
                    f"a training was lost {RETRIES + 1} times (its process was killed, or its node left); "
                    "run the same command again"
                ) from error
            yield at, found


def away(
    job: Callable[..., Any], given: tuple[Any, ...], threads: int, proof: tuple[Path, str, dict[str, str]]
) -> Any:
    """What a machine of the cluster does: make sure of the versions and of the run folder, then the job."""
    import torch

    from thresher.signals.away import version_fault

    manifest, digest, wanted = proof
    torch.set_num_threads(threads)
    with named():
        if fault := version_fault(wanted):
            raise UserError(fault)
        if not (manifest.is_file() and file_digest(manifest) == digest):
            raise UserError(
                f"{manifest.parent}: not there, or another run; put it on a file system that all machines share"
            )
        return job(*given)
