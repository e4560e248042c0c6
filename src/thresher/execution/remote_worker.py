"""A worker on another machine: it must have the same packages and see the same files, and names its machine in errors."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version as installed
from pathlib import Path

from thresher.errors import UserError
from thresher.execution.engines import Args, Place, Result
from thresher.run.files import file_digest

# Another version of one of these may round differently, or write other bytes.
SAME = ("thresher", "torch", "transformers", "tokenizers", "numpy", "polars", "pyarrow")


@dataclass(frozen=True)
class Requirements:
    """What must be the same on every machine: versions by package, and the content of shared files by their digests."""

    versions: dict[str, str]
    files: dict[Path, str]


def requirements_of(place: Place) -> Requirements:
    """What this machine requires of the others."""
    file = place.shared_file
    return Requirements({name: installed(name) for name in SAME}, {file: file_digest(file)} if file else {})


class Worker:
    """A process that runs tasks on another machine. Errors of users name the machine."""

    def ready(self, required: Requirements, threads: int) -> None:
        """Set up the process.

        Raises UserError: this machine has another version of a package, or does not see a shared file.
        """
        import torch

        torch.set_num_threads(threads)
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        with node_named():
            for name, version in required.versions.items():
                if (found := installed(name)) != version:
                    raise UserError(f"{name} is {found}, not {version}; install the same versions everywhere")
            for path, digest in required.files.items():
                if not has_content(path, digest):
                    raise UserError(
                        f"{path}: missing, or another one; put the run on a file system that all machines share"
                    )

    def run(self, function: Callable[[*Args], Result], task: tuple[*Args]) -> Result:
        with node_named():
            return function(*task)


def has_content(path: Path, digest: str) -> bool:
    """Whether a file is there with the content of that digest."""
    return path.is_file() and file_digest(path) == digest


@contextlib.contextmanager
def node_named() -> Iterator[None]:
    """Put the name of this machine before the message of a UserError."""
    try:
        yield
    except UserError as error:
        raise UserError(f"node {socket.gethostname()}: {error}") from error
