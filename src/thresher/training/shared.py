"""One training on several processes: every batch is cut in equal shares, and the gradients are those of the whole batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from thresher.training.order import LengthGroupedOrder

Share = list[tuple[int, float]]


def shares(rows: list[int], batch_size: int, world: int) -> list[Share]:
    """The rows of a batch dealt out to `world` processes, each with its weight in that process's loss.

    Gradients are averaged over processes, so a row of a batch of n counts with world / n: the average is the gradient of the
    mean over the batch. Every share has batch_size / world places; those that a last, smaller batch leaves empty are filled
    with a row that counts with 0.

    >>> shares([7, 8, 9], batch_size=4, world=2)
    [[(7, 0.6666666666666666), (9, 0.6666666666666666)], [(8, 0.6666666666666666), (7, 0.0)]]
    """
    weight = world / len(rows)
    dealt = [[(row, weight) for row in rows[rank::world]] for rank in range(world)]
    return [share + [(rows[0], 0.0)] * (batch_size // world - len(share)) for share in dealt]


class SharedBatches(Sampler[Share]):
    """This process's share of every batch of an order, epoch after epoch from the given one on."""

    def __init__(self, order: LengthGroupedOrder, rank: int, world: int, epoch: int) -> None:
        self.order, self.rank, self.world, self.epoch = order, rank, world, epoch

    def __len__(self) -> int:
        return -(-len(self.order) // self.order.batch_size)

    def __iter__(self) -> Iterator[Share]:
        self.order.set_epoch(self.epoch)
        self.epoch += 1
        rows, size = self.order.rows(), self.order.batch_size
        for start in range(0, len(rows), size):
            yield shares(rows[start : start + size].tolist(), size, self.world)[self.rank]


def shared_loader(
    dataset: Dataset[object], collate_rows: Callable[[list[int]], dict[str, Tensor]], batches: SharedBatches
) -> DataLoader[object]:
    """Batches of this process, with the weights of their rows."""

    def collate(items: Share) -> dict[str, Tensor]:
        rows, weights = zip(*items, strict=True)
        return {**collate_rows(list(rows)), "weights": torch.tensor(weights, dtype=torch.float32)}

    return DataLoader(dataset, batch_sampler=batches, collate_fn=collate)


def shared_loss(model: nn.Module, inputs: dict[str, Tensor]) -> tuple[Tensor, object]:
    """This process's part of the mean loss over the whole batch, times the number of processes; and the outputs."""
    labels, weights = inputs["labels"], inputs["weights"]
    outputs = model(**{name: value for name, value in inputs.items() if name not in ("labels", "weights")})
    losses = nn.functional.cross_entropy(outputs.logits, labels, reduction="none")  # (B / world,)
    return torch.einsum("b,b->", losses, weights), outputs


def interleaved(parts: list[np.ndarray]) -> np.ndarray:
    """The inverse of dealing out one by one.

    >>> interleaved([np.array([0, 2, 4]), np.array([1, 3])]).tolist()
    [0, 1, 2, 3, 4]
    """
    whole = np.empty(sum(map(len, parts)), parts[0].dtype)
    for rank, part in enumerate(parts):
        whole[rank :: len(parts)] = part
    return whole
