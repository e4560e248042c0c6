"""Where the trainings of a trainer are recorded: the first in one run folder, each further one in the next."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolders:
    """Where recordings go, and what is done there.

    `first` is the run folder of the first training; whether a later one may have a folder is told by `is_free`. `make_room` is
    called by the first process before it writes the first records, and `finish` after the training.
    """

    first: Path
    is_free: Callable[[Path], bool]
    make_room: Callable[[Path], None]
    finish: Callable[[Path], None]

    def of(self, training: int) -> tuple[int, Path]:
        """The next free folder for training `training`, counted from 1, and the number that it has: RUN, RUN-2, RUN-3, ..."""
        while training > 1 and not self.is_free(self.numbered(training)):
            training += 1
        return training, self.numbered(training)

    def numbered(self, training: int) -> Path:
        return self.first if training == 1 else self.first.with_name(f"{self.first.name}-{training}")
