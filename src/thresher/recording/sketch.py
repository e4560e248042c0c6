"""A random projection of gradients that keeps inner products, so that online VoG needs few numbers per row."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Signs:
    """Random signs per position and dimension, the same for the same seed, for as many positions as the longest row has."""

    def __init__(self, hidden: int, seed: int) -> None:
        self.hidden, self.seed = hidden, seed
        self.table = torch.empty(0, hidden)

    def up_to(self, length: int, device: torch.device) -> Tensor:
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
    the signs, with a standard deviation of about |x| |y| sqrt(2 / width) at most. `first` (B,) is each row's first
    token, where rows are padded on the left: a token has the same signs whatever padding precedes it.

    Source: Charikar, Chen and Farach-Colton (2002), "Finding frequent items in data streams" (count sketch); Alon, Matias
    and Szegedy (1996) for the inner product.
    """
    if first is not None:
        at = (torch.arange(gradient.shape[1], device=gradient.device) - first[:, None]).clamp(min=0)  # (B, T)
        signs = signs[at]
    summed = (gradient * signs).sum(1)  # (B, H)
    spare = -summed.shape[1] % width
    return torch.nn.functional.pad(summed, (0, spare)).view(len(summed), -1, width).sum(1)
