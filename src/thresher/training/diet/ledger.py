"""What a diet knows of the rows: their scores so far, the same in every process."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.distributed as dist
from torch import Tensor

from thresher.training.diet.moment import Numbers


class Ledger:
    """Per row the last score, their sum and their number, the class, and the length in tokens; 37 bytes."""

    def __init__(self, rows: int) -> None:
        self.score = np.full(rows, np.nan)
        self.total, self.count = np.zeros(rows), np.zeros(rows, np.int32)
        self.label, self.length = np.zeros(rows, np.int64), np.zeros(rows, np.int32)
        self.pending: list[tuple[Tensor, Tensor, Tensor | None, Tensor | None]] = []

    @property
    def mean(self) -> Numbers:
        """The mean score over visits, nan for rows without one."""
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan)

    def note(self, rows: Tensor, scores: Tensor, labels: Tensor | None, lengths: Tensor | None) -> None:
        """Keep scores as they are on the device, until they are needed."""
        self.pending.append((rows, scores.detach(), labels, lengths))

    def settle(self) -> None:
        """Enter what was noted, by all processes; called by all of them at the same time."""
        mine = [tuple(None if one is None else one.cpu().numpy() for one in each) for each in self.pending]
        self.pending = []
        noted: list[Any] = [mine]
        if dist.is_available() and dist.is_initialized():
            noted = [None] * dist.get_world_size()
            dist.all_gather_object(noted, mine)
        for rows, scores, labels, lengths in (one for each in noted for one in each):
            self.score[rows] = scores
            np.add.at(self.total, rows, scores)
            np.add.at(self.count, rows, 1)
            if labels is not None:
                self.label[rows] = labels
            if lengths is not None:
                self.length[rows] = lengths

    def arrays(self) -> dict[str, np.ndarray]:
        """Everything, to be kept in a file."""
        return {name: getattr(self, name) for name in ("score", "total", "count", "label", "length")}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """What `arrays` gave."""
        for name in self.arrays():
            setattr(self, name, arrays[name])
