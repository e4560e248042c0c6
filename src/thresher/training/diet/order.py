"""The order of an epoch with only some of its rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from thresher.errors import UserError


class PortionOrder(Sampler[int]):
    """The trainer's own order without the rows that are left out, so rows of similar length stay together.

    Its length stays that of all rows: a trainer lays out its schedule by it. `whole` says how many rows to take of those
    there are.
    """

    def __init__(self, order: Any, keep: Callable[[], np.ndarray], whole: Callable[[int], int]) -> None:
        self.order, self.keep, self.whole = order, keep, whole

    def __len__(self) -> int:
        return len(self.order)

    def set_epoch(self, epoch: int) -> None:
        """Passed on to an order that depends on the epoch."""
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        keep = self.keep()
        rows = [row for row in self.order if keep[row]]
        yield from rows[: self.whole(len(rows))]


def put_before(loader: Any, keep: Callable[[], np.ndarray], whole: Callable[[int], int]) -> Any:
    """Let a train data loader take only the rows that `keep` gives at the start of an epoch; returns the same loader.

    Raises
    ------
    UserError
        a loader whose batches are not made from an order of rows.
    """
    batches = getattr(loader, "base_dataloader", loader).batch_sampler
    while hasattr(batches, "batch_sampler"):
        batches = batches.batch_sampler
    if not hasattr(batches, "sampler"):
        raise UserError(
            f"a {type(batches).__name__} makes batches by itself, so rows cannot be left out; give the Trainer another"
            " train_sampling_strategy"
        )
    batches.sampler = PortionOrder(batches.sampler, keep, whole)
    return loader
