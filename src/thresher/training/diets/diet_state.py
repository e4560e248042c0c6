"""The state of a diet, saved with each checkpoint so that a training resumes on the same rows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from torch import Tensor, from_numpy

from thresher.errors import UserError
from thresher.run.files import write
from thresher.training.diets.epoch_state import EpochRows
from thresher.training.diets.row_scores import RowScores

FILE = "thresher-diet.npz"
EpochFacts = dict[str, int | float]


@dataclass
class DietState:
    """The scores, the rows of this epoch, and the facts of the epochs before.

    `started` is the epoch of the last restart, `rescored` the number of rows that were scored again in this epoch, `initial` the
    weights that a restart begins with.
    """

    scores: RowScores
    rows: EpochRows | None = None
    epochs: list[EpochFacts] = field(default_factory=list)
    started: int = 0
    rescored: int = 0
    initial: dict[str, Tensor] | None = None

    def save(self, checkpoint: Path, epochs: list[EpochFacts]) -> None:
        """Write the state into the folder of a checkpoint, with the facts of `epochs`."""
        assert self.rows is not None
        arrays = {**self.scores.arrays(), "keep": self.rows.keep, "epochs": np.array(json.dumps(epochs))}
        arrays |= {"started": np.array(self.started), "rescored": np.array(self.rescored)}
        if self.rows.weight is not None:
            arrays["weight"] = self.rows.weight
        for name, value in (self.initial or {}).items():
            arrays[f"initial.{name}"] = value.float().cpu().numpy()

        def write_arrays(path: Path) -> None:
            with path.open("wb") as handle:
                np.savez(handle, **arrays)  # type: ignore[arg-type]

        write(checkpoint / FILE, write_arrays)

    def load(self, checkpoint: Path) -> None:
        """Read what `save` wrote."""
        path = checkpoint / FILE
        if not path.is_file():
            raise UserError(
                f"{path}: missing; a training on a diet resumes from a checkpoint of its own in output_dir"
            )
        with np.load(path) as found:
            arrays = dict(found)
        self.scores.restore(arrays)
        self.rows = EpochRows(arrays["keep"], arrays.get("weight"))
        self.epochs = json.loads(str(arrays["epochs"]))
        self.started, self.rescored = int(arrays["started"]), int(arrays["rescored"])
        initial = {name: from_numpy(arrays[name]) for name in arrays if name.startswith("initial.")}
        self.initial = {
            name.removeprefix("initial."): value for name, value in initial.items()
        } or self.initial
