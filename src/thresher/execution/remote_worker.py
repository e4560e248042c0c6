"""A worker on another machine: it must have the same packages and see the same files, and names its machine in errors."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path
from typing import TypeVar, TypeVarTuple

from thresher.errors import UserError
from thresher.execution.engines import Place
from thresher.run.files import file_digest

Args = TypeVarTuple("Args")
Result = TypeVar("Result")
# Another version of one of these may round differently, or write other bytes.
SAME = ("thresher", "torch", "transformers", "tokenizers", "numpy", "polars", "pyarrow")


@dataclass(frozen=True)
class Requirements:
    """What must be the same on every machine: versions by package, and a shared file by its digest."""

    versions: dict[str, str]
    shared_file: Path | None
    digest: str | None


def versions() -> dict[str, str]:
    """The versions that must be the same on every machine."""
    return {name: installed(name) for name in SAME}


def requirements_of(place: Place) -> Requirements:
    """What this machine requires of the others."""
    file = place.shared_file
    return Requirements(versions(), file, file_digest(file) if file else None)


def prepare(required: Requirements, threads: int) -> None:
    """Set up a worker process.

    Raises
    ------
    UserError
        this machine has another version of a package, or does not see the shared file.
    """
    import torch

    torch.set_num_threads(threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    with node_named():
        found = {name: installed(name) for name in required.versions}
        for name, version in required.versions.items():
            if found[name] != version:
                raise UserError(
                    f"{name} is {found[name]}, not {version}; install the same versions everywhere"
                )
        if required.shared_file and not has_content(required.shared_file, required.digest):
            raise UserError(
                f"{required.shared_file.parent}: missing, or another run; "
                "put it on a file system that all machines share"
            )


def run_task(function: Callable[[*Args], Result], task: tuple[*Args]) -> Result:
    """The result of a task."""
    with node_named():
        return function(*task)


def has_content(path: Path, digest: str | None) -> bool:
    """Whether a file is there with the content of that digest."""
    return path.is_file() and file_digest(path) == digest


@contextlib.contextmanager
def node_named() -> Iterator[None]:
    """Put the name of this machine before the message of a UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(f"node {socket.gethostname()}: {error}") from error
