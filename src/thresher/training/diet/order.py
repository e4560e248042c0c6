"""The order of an epoch with only some of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from thresher.errors import UserError


class PortionOrder(Sampler[int]):
    """The trainer's own order without the rows that are left out, so rows of similar length stay together.

    Its length makes as many batches as all rows do: a trainer lays out its schedule by it. `whole` says how many rows to take
    of those there are. `samplers` are all that make or share out the batches, from the outermost in.
    """

    def __init__(
        self, samplers: list[Any], keep: Callable[[], np.ndarray], whole: Callable[[int], int]
    ) -> None:
        self.samplers, self.keep, self.whole = samplers, keep, whole
        self.order, self.rows_per_batch = samplers[-1].sampler, samplers[-1].batch_size

    def __len__(self) -> int:
        size = self.samplers[-1].batch_size
        rows = len(self.order)
        return rows if size == self.rows_per_batch else -(-rows // self.rows_per_batch) * size

    def thin(self, rows: int) -> None:
        """Let `rows` rows make as many batches as all rows do, or as many as whole numbers of rows in each allow."""
        shared = self.samplers[0] if getattr(self.samplers[0], "split_batches", False) else None
        parts = shared.num_processes if shared else 1
        size = max(1, -(-rows * self.rows_per_batch // (len(self.order) * parts))) * parts
        for one in self.samplers:
            one.batch_size = size

    def set_epoch(self, epoch: int) -> None:
        """Passed on to an order that depends on the epoch."""
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        keep = self.keep()
        rows = [row for row in self.order if keep[row]]
        yield from rows[: self.whole(len(rows))]


def put_before(loader: Any, keep: Callable[[], np.ndarray], whole: Callable[[int], int]) -> PortionOrder:
    """Let a train data loader take only the rows that `keep` gives at the start of an epoch; returns the order of them.

    Raises
    ------
    UserError
        a loader whose batches are not made from an order of rows.
    """
    samplers = [getattr(loader, "base_dataloader", loader).batch_sampler]
    while hasattr(samplers[-1], "batch_sampler"):
        samplers.append(samplers[-1].batch_sampler)
    batches = samplers[-1]
    if not hasattr(batches, "sampler"):
        raise UserError(
            f"a {type(batches).__name__} makes batches by itself, so rows cannot be left out; give the Trainer another"
            " train_sampling_strategy"
        )
    batches.sampler = PortionOrder(samplers, keep, whole)
    return batches.sampler
