"""The running sums of online VoG: the spread of each row's gradient over its training steps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class GradientSums:
    """Per row: the number of steps, the sum of squared gradient norms (exact), the sum of gradients (as a sketch).

    4 width + 12 bytes per row.
    """

    def __init__(self, rows: int, width: int) -> None:
        self.steps = torch.zeros(rows, dtype=torch.int32)
        self.squares = torch.zeros(rows, dtype=torch.float64)
        self.sums = torch.zeros(rows, width)

    def add(self, rows: Tensor, squares: Tensor, sketches: Tensor) -> None:
        """Add one step of some rows, a row possibly twice; gradients that overflowed, as float16 does, are left out."""
        finite = squares.isfinite() & sketches.isfinite().all(1)
        rows, squares, sketches = rows[finite], squares[finite], sketches[finite]
        self.steps.index_add_(0, rows, torch.ones_like(rows, dtype=torch.int32))
        self.squares.index_add_(0, rows, squares.double())
        self.sums.index_add_(0, rows, sketches)

    def arrays(self) -> dict[str, np.ndarray]:
        return {"steps": self.steps.numpy(), "squares": self.squares.numpy(), "sums": self.sums.numpy()}

    def merge(self, arrays: dict[str, np.ndarray]) -> None:
        """Add the sums of another process, or of this one before it was interrupted."""
        self.steps += torch.from_numpy(arrays["steps"])
        self.squares += torch.from_numpy(arrays["squares"])
        self.sums += torch.from_numpy(arrays["sums"])

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the squared norm, and the squared norm of the mean (estimated); each (N,), nan without a step."""
        steps = self.steps.double().where(self.steps > 0, torch.nan)
        mean = self.sums.double() / steps[:, None]
        return (self.squares / steps).numpy(), mean.square().sum(1).numpy()
