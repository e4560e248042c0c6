"""The state of a diet beside a checkpoint, so that a training resumes on the rows that it was on."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thresher.errors import UserError
from thresher.files import write
from thresher.training.diets.epoch_state import EpochRows

FILE = "thresher-diet.npz"
Weights = dict[str, torch.Tensor]


@dataclass
class SavedState:
    """What a diet knows between two steps: the arrays of its `RowScores`, the rows of this epoch, the facts of the epochs before.

    `started` is the epoch of the last restart, `rescored` how many rows this epoch scored again, `initial` the weights that a
    restart begins from.
    """

    scores: dict[str, np.ndarray]
    rows: EpochRows
    epochs: list[dict[str, Any]]
    started: int
    rescored: int
    initial: Weights | None


def save_state(checkpoint: Path, state: SavedState) -> None:
    """Write the state into the folder of a checkpoint."""
    arrays = {
        **state.scores,
        "keep": state.rows.keep,
        "started": np.int64(state.started),
        "rescored": np.int64(state.rescored),
        "epochs": np.array(json.dumps(state.epochs)),
    }
    if state.rows.weight is not None:
        arrays["weight"] = state.rows.weight
    for name, value in (state.initial or {}).items():
        arrays[f"first.{name}"] = value.float().cpu().numpy()

    def save(path: Path) -> None:
        with path.open("wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]

    write(checkpoint / FILE, save)


def load_state(checkpoint: Path) -> SavedState:
    """The state that was saved with a checkpoint.

    Raises
    ------
    UserError
        there is none.
    """
    path = checkpoint / FILE
    if not path.is_file():
        raise UserError(
            f"{path}: missing; a training on a diet resumes from a checkpoint of its own in output_dir"
        )
    with np.load(path) as found:
        arrays = dict(found)
    initial = {
        name.removeprefix("first."): torch.from_numpy(value)
        for name, value in arrays.items()
        if name.startswith("first.")
    }
    return SavedState(
        arrays,
        EpochRows(arrays["keep"], arrays.get("weight")),
        json.loads(str(arrays["epochs"])),
        int(arrays["started"]),
        int(arrays["rescored"]),
        initial or None,
    )
