"""Online VoG: the spread of each row's gradient over its visits, from two running sums."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Signs:
    """Random signs per position and dimension, the same for the same seed; made as far as the longest row needs."""

    def __init__(self, hidden: int, seed: int) -> None:
        self.hidden, self.seed = hidden, seed
        self.table = torch.empty(0, hidden)

    def upto(self, length: int, device: torch.device) -> Tensor:
        """The signs of the first positions, (length, hidden)."""
        while len(self.table) < length:
            random = np.random.default_rng((self.seed, len(self.table)))
            row = torch.from_numpy(random.integers(0, 2, self.hidden).astype(np.float32) * 2 - 1)
            self.table = torch.cat([self.table, row[None].to(self.table.device)])
        if self.table.device != device:
            self.table = self.table.to(device)
        return self.table[:length]


def sketch(gradient: Tensor, signs: Tensor, width: int, first: Tensor | None = None) -> Tensor:
    """A random projection of each row's gradient to `width` numbers, (B, T, H) to (B, width).

        sketch[w] = sum over positions t and dimensions h with h mod width = w of  sign[t, h] gradient[t, h]

    It is linear, so the sketch of a mean is the mean of sketches; and <sketch(x), sketch(y)> is <x, y> in expectation over
    the signs, with a standard deviation of about |x| |y| sqrt(2 / width) at most. `first` (B,) is each row's first true
    position, where rows are padded on the left: a token has the same signs whatever padding stands before it.

    Source: Charikar, Chen and Farach-Colton (2002), "Finding frequent items in data streams" (count sketch); Alon, Matias
    and Szegedy (1996) for the inner product.
    """
    if first is not None:
        at = (torch.arange(gradient.shape[1], device=gradient.device) - first[:, None]).clamp(min=0)  # (B, T)
        signs = signs[at]
    summed = (gradient * signs).sum(1)  # (B, H)
    spare = -summed.shape[1] % width
    return torch.nn.functional.pad(summed, (0, spare)).view(len(summed), -1, width).sum(1)


class RunningMoments:
    """Per row: how many visits, the sum of squared gradient norms (exact), the sum of gradients (as a sketch).

    4 width + 12 bytes per row.
    """

    def __init__(self, rows: int, width: int) -> None:
        self.visits = torch.zeros(rows, dtype=torch.int32)
        self.squares = torch.zeros(rows, dtype=torch.float64)
        self.sums = torch.zeros(rows, width)

    def add(self, rows: Tensor, squares: Tensor, sketches: Tensor) -> None:
        """Count visits of some rows, a row possibly twice."""
        self.visits.index_add_(0, rows, torch.ones_like(rows, dtype=torch.int32))
        self.squares.index_add_(0, rows, squares.double())
        self.sums.index_add_(0, rows, sketches)

    def arrays(self) -> dict[str, np.ndarray]:
        """As arrays, to be kept in a file."""
        return {"visits": self.visits.numpy(), "squares": self.squares.numpy(), "sums": self.sums.numpy()}

    def merge(self, arrays: dict[str, np.ndarray]) -> None:
        """Add what another process, or this one before it was stopped, has counted."""
        self.visits += torch.from_numpy(arrays["visits"])
        self.squares += torch.from_numpy(arrays["squares"])
        self.sums += torch.from_numpy(arrays["sums"])

    def means(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean of the squared norm, and the squared norm of the mean (estimated); each (N,), nan without a visit."""
        visits = self.visits.double().where(self.visits > 0, torch.nan)
        mean = self.sums.double() / visits[:, None]
        return (self.squares / visits).numpy(), mean.square().sum(1).numpy()
