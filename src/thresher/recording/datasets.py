"""What is asked of the dataset and the tokenizer of a trainer, whatever their classes are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer


def column_names(dataset: object) -> tuple[str, ...]:
    """The columns of a dataset; () of one without named columns."""
    return tuple(getattr(dataset, "column_names", None) or ())


def plain(dataset: Any) -> Any:
    """A dataset whose items are Python's own, also where it returns tensors."""
    return dataset.with_format(None) if hasattr(dataset, "with_format") else dataset


def tokenizer_of(trainer: Trainer) -> PreTrainedTokenizerBase | None:
    """The tokenizer of a trainer or of its collator; None without."""
    return trainer.processing_class or getattr(trainer.data_collator, "tokenizer", None)
