"""The order in which a training visits its rows: seeded, of similar lengths together, the same after a resume."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

MEGABATCH = 50
BLOCK = 1 << 16  # numbers that stand in memory as objects at a time


class LengthGroupedOrder(Sampler[int]):
    """Random order with rows of similar length in one batch.

    A permutation drawn from (seed, epoch) is cut into megabatches of `MEGABATCH` batches; rows are sorted by length inside
    each, and the batches of a megabatch are shuffled. transformers' own length-grouped sampler draws from the global random
    state, which a resumed training does not find as it was; this one depends on seed and epoch alone.
    """

    def __init__(self, lengths: np.ndarray, batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the Trainer at the start of every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def rows(self) -> NDArray[np.int64]:
        """The rows of this epoch in their order, (N,)."""
        random = np.random.default_rng((self.seed, self.epoch))
        rows = random.permutation(len(self.lengths))
        last = len(rows) - len(rows) % self.batch_size
        size = MEGABATCH * self.batch_size
        for start in range(0, last, size):
            mega = rows[start : min(start + size, last)]
            mega[:] = mega[np.argsort(self.lengths[mega], kind="stable")]
            batches = mega.reshape(-1, self.batch_size)
            batches[:] = batches[random.permutation(len(batches))]
        return rows

    def __iter__(self) -> Iterator[int]:
        for block in np.array_split(self.rows(), max(1, len(self) // BLOCK)):
            yield from block.tolist()
