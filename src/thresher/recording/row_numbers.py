"""How a row's number travels with the row: from the dataset through workers, collator and shards to the training step.

The dataset of the finished data loader is wrapped to return (row number, item), and its collator to take the numbers out again
and add them to the batch. Whatever happens in between (worker processes, shards of several processes, rows repeated to fill up
the last batch, batches skipped by a resume) happens to the pair.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset

from thresher.errors import UserError
from thresher.recording import hf_compat

ROWS = "thresher_rows"


class NumberedRows(Dataset[tuple[int, Any]]):
    """A view of a dataset whose items are (row number, item)."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> tuple[int, Any]:
        return row, self.rows[row]

    def __getitems__(self, rows: list[int]) -> list[tuple[int, Any]]:
        # Datasets that can read a whole batch at once continue to do so.
        many = getattr(self.rows, "__getitems__", None)
        items = many(rows) if many is not None else [self.rows[row] for row in rows]
        return list(zip(rows, items, strict=True))

    def __getattr__(self, name: str) -> Any:
        # accelerate calls a dataset's own set_epoch and the like.
        if name == "rows" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.rows, name)


class NumberedBatch:
    """A collator that adds the row numbers to the batch of another one."""

    def __init__(self, collate: Callable[[list[Any]], Any]) -> None:
        self.collate = collate

    def __call__(self, numbered: Sequence[tuple[int, Any]]) -> MutableMapping[str, Any]:
        rows, items = zip(*numbered, strict=True)
        batch = self.collate(list(items))
        if not isinstance(batch, MutableMapping):
            raise UserError(
                f"the data collator returns a {type(batch).__name__}; rows can be followed only if it returns a"
                " dictionary of tensors"
            )
        batch[ROWS] = torch.tensor(rows, dtype=torch.int64)
        return batch


def number_rows(loader: Any) -> Any:
    """Make a train data loader, as `Trainer.get_train_dataloader` returned it, carry row numbers; returns the same loader.

    Raises UserError: a loader without row numbers: an iterable dataset, or one without batches.
    """
    base = hf_compat.torch_loader(loader)
    if not isinstance(base, DataLoader) or isinstance(base.dataset, IterableDataset):
        raise UserError(
            f"the train data loader is a {type(base).__name__} of a {type(getattr(base, 'dataset', None)).__name__};"
            " rows can be followed only in a torch DataLoader of a dataset with row numbers"
        )
    if base.batch_sampler is None:
        raise UserError("the train data loader has no batch sampler; give it a batch size")
    hf_compat.replace_dataset(base, NumberedRows(base.dataset))
    base.collate_fn = NumberedBatch(base.collate_fn)
    return loader
