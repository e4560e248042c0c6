"""The order of an epoch that uses only some of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from torch.utils.data import Sampler

from thresher.errors import UserError
from thresher.recording import hf_compat


class SubsetSampler(Sampler[int]):
    """The trainer's own order without the rows that are left out, so rows of similar length stay together.

    Its length is that of all rows, because a trainer plans its schedule by it. `whole_steps` returns how many of the given rows
    to use. `samplers` are all samplers that make or split batches, from the outside in.
    """

    def __init__(
        self, samplers: list[Any], keep: Callable[[], np.ndarray], whole_steps: Callable[[int], int]
    ) -> None:
        self.samplers, self.keep, self.whole_steps = samplers, keep, whole_steps
        self.order, self.rows_per_batch = samplers[-1].sampler, samplers[-1].batch_size

    def __len__(self) -> int:
        size = self.samplers[-1].batch_size
        rows = len(self.order)
        return rows if size == self.rows_per_batch else -(-rows // self.rows_per_batch) * size

    def shrink_batches(self, rows: int) -> None:
        """Let `rows` rows make as many batches as all rows do, or as many as whole numbers of rows in each allow."""
        parts = hf_compat.processes_per_batch(self.samplers)
        size = max(1, -(-rows * self.rows_per_batch // (len(self.order) * parts))) * parts
        hf_compat.set_batch_size(self.samplers, size)

    def set_epoch(self, epoch: int) -> None:
        """Passed on to an order that depends on the epoch."""
        if hasattr(self.order, "set_epoch"):
            self.order.set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        keep = self.keep()
        rows = [row for row in self.order if keep[row]]
        yield from rows[: self.whole_steps(len(rows))]


def use_subset(
    loader: Any, keep: Callable[[], np.ndarray], whole_steps: Callable[[int], int]
) -> SubsetSampler:
    """Let a train data loader use only the rows that `keep` returns at the start of an epoch; returns their order.

    Raises UserError: a loader whose batches are not made from an order of rows.
    """
    samplers = hf_compat.batch_samplers(loader)
    if not hasattr(samplers[-1], "sampler"):
        raise UserError(
            f"a {type(samplers[-1]).__name__} makes batches by itself, so rows cannot be left out; give the Trainer another"
            " train_sampling_strategy"
        )
    sampler = SubsetSampler(samplers, keep, whole_steps)
    hf_compat.replace_row_sampler(samplers, sampler)
    return sampler
