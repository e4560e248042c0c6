"""The scores of the rows so far, the same in every process: what a diet ranks by."""

from __future__ import annotations

import numpy as np
import torch.distributed as dist
from torch import Tensor

from thresher.training.diets.epoch_state import Numbers

Noted = tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]
ARRAYS = ("score", "total", "count", "label", "length")


class RowScores:
    """Per row the last score, their sum and their number, the class, and the length in tokens; 37 bytes."""

    def __init__(self, rows: int) -> None:
        self.score = np.full(rows, np.nan)
        self.total, self.count = np.zeros(rows), np.zeros(rows, np.int32)
        self.label, self.length = np.zeros(rows, np.int64), np.zeros(rows, np.int32)
        self.pending: list[tuple[Tensor, Tensor, Tensor | None, Tensor | None]] = []

    @property
    def mean(self) -> Numbers:
        """The mean score over training steps, nan for rows without one."""
        return np.where(self.count > 0, self.total / np.maximum(self.count, 1), np.nan)

    def note(self, rows: Tensor, scores: Tensor, labels: Tensor | None, lengths: Tensor | None) -> None:
        """Keep scores as they are on the device until they are needed."""
        self.pending.append((rows, scores.detach(), labels, lengths))

    def settle(self) -> None:
        """Enter the scores that all processes have noted; all of them call it at the same time."""
        mine: list[Noted] = [
            (_host(rows), _host(scores), _optional(labels), _optional(lengths))
            for rows, scores, labels, lengths in self.pending
        ]
        self.pending = []
        noted = [mine]
        if dist.is_available() and dist.is_initialized():
            noted = [[] for _ in range(dist.get_world_size())]
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
        """Everything, as arrays for a file."""
        return {name: getattr(self, name) for name in ARRAYS}

    def restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Set what `arrays` returned."""
        vars(self).update({name: arrays[name] for name in ARRAYS})


def _host(tensor: Tensor) -> np.ndarray:
    return tensor.cpu().numpy()


def _optional(tensor: Tensor | None) -> np.ndarray | None:
    return None if tensor is None else _host(tensor)
