"""The running scores of all rows that a diet ranks by, the same in every process."""

from __future__ import annotations

import numpy as np
import torch.distributed as dist
from torch import Tensor

from thresher.training.diets.epoch_state import Numbers

ARRAYS = ("score", "total", "count", "label", "length")


class RowScores:
    """Per row the last score, their sum and their number, the class, and the length in tokens; 37 bytes."""

    def __init__(self, rows: int) -> None:
        self.score = np.full(rows, np.nan)
        self.total, self.count = np.zeros(rows), np.zeros(rows, np.int32)
        self.label, self.length = np.zeros(rows, np.int64), np.zeros(rows, np.int32)
        self.pending: list[dict[str, Tensor]] = []

    @property
    def mean(self) -> Numbers:
        """The mean score over training steps, nan for rows without one."""
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan)

    def note(self, **columns: Tensor) -> None:
        """Keep `row`, `score` and, where they are known, `label` and `length`, (B,) each, on the device until they are needed."""
        self.pending.append({name: values.detach() for name, values in columns.items()})

    def settle(self) -> None:
        """Enter the scores that all processes have noted; all of them call it at the same time."""
        mine = [{name: values.cpu().numpy() for name, values in each.items()} for each in self.pending]
        self.pending = []
        noted = [mine]
        if dist.is_available() and dist.is_initialized():
            noted = [[] for _ in range(dist.get_world_size())]
            dist.all_gather_object(noted, mine)
        for columns in (one for each in noted for one in each):
            rows, score = columns.pop("row"), columns.pop("score")
            self.score[rows] = score
            np.add.at(self.total, rows, score)
            np.add.at(self.count, rows, 1)
            for name, values in columns.items():
                getattr(self, name)[rows] = values

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything, as arrays for a file."""
        return {name: getattr(self, name) for name in ARRAYS}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Set what `arrays` returned."""
        vars(self).update({name: arrays[name] for name in ARRAYS})
