"""The dataset of a recorded trainer as the rows of a run folder: ids, texts, labels and class names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from transformers import Trainer

from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import Rows
from thresher.rows.table import Source

LABELS = ("labels", "label", "label_ids")
# The one class of rows that have a label per token.
TOKENS = "tokens"


def rows_of(
    trainer: Trainer,
    ids: pl.Series,
    texts: tuple[str, ...] | None,
    numbers: np.ndarray,
    labels: np.ndarray | None,
) -> Rows:
    """The rows `numbers` (N,) of the dataset: id, text, label; and the number in the table that a selection writes back.

    `ids` are those of the whole dataset; `labels` (N,) are class numbers, None for rows with a label per token.
    """
    classes = (TOKENS,) if labels is None else class_names(trainer, labels)
    columns = texts_of(trainer, texts)
    taken = {"id", "index", *columns}
    label = next(name for name in ("label", "class", "thresher_label") if name not in taken)
    named = [classes[index] for index in (np.zeros(len(numbers), np.int32) if labels is None else labels)]
    dataset = pl.DataFrame([ids, *(_strings(*column) for column in columns.items())]).with_row_index("index")
    table = dataset[numbers].with_columns(_strings(label, named))
    memory = table.to_arrow(compat_level=pl.CompatLevel.oldest())
    source = Source("frame", memory=memory)
    return Rows(table.drop("index"), tuple(columns), label, (), classes, source, False)


def check_columns(dataset: Any, columns: Sequence[str]) -> None:
    """Refuse columns that the dataset does not have.

    Raises
    ------
    UserError
        one line that names the column and those there are.
    """
    known = getattr(dataset, "column_names", None)
    for column in columns:
        if not known or column not in known:
            has = f"it has {', '.join(known)}" if known else f"{type(dataset).__name__} has no named columns"
            raise UserError(f"the train_dataset has no column '{column}'; {has}")


def ids_of(dataset: Any, id: str | None) -> pl.Series:
    """The ids of the rows: a column, or the row numbers if there is none or it is not unique."""
    column = id or ("id" if "id" in (getattr(dataset, "column_names", None) or ()) else None)
    if column is not None:
        found = _strings("id", _values(dataset, column))
        if found.n_unique() == len(found):
            return found
        say(f"watch: column '{column}' is not unique; rows are named by their numbers instead")
    return _strings("id", [str(row) for row in range(len(dataset))])


def label_of(dataset: Any, row: int) -> int:
    """The label of a row that was not recorded; -1 where it is ignored, or is not a class number in the dataset."""
    item = dataset[row]
    found = np.asarray(next((item[name] for name in LABELS if name in item), None)).reshape(-1)[0]
    return max(-1, int(found)) if isinstance(found, int | np.integer) else -1


def class_names(trainer: Trainer, labels: np.ndarray) -> tuple[str, ...]:
    """The names of the classes: the model's, or the dataset's where the model only numbers them."""
    count = int(labels.max(initial=0)) + 1
    named = getattr(getattr(trainer.model, "config", None), "id2label", None) or {}
    names = [str(named.get(index, index)) for index in range(max(count, len(named)))]
    features = getattr(trainer.train_dataset, "features", None) or {}
    for column in LABELS:
        known = getattr(features.get(column), "names", None)
        if known and len(known) >= count and all(name == f"LABEL_{i}" for i, name in enumerate(names)):
            names = list(known)
    return tuple(names) if len(set(names)) == len(names) else tuple(map(str, range(len(names))))


def texts_of(trainer: Trainer, texts: tuple[str, ...] | None) -> dict[str, list[str]]:
    """One or two columns of text: those asked for, else columns of strings, else the decoded tokens, else row numbers."""
    dataset = trainer.train_dataset
    features = getattr(dataset, "features", None) or {}
    strings = [
        name
        for name, kind in features.items()
        if getattr(kind, "dtype", "") == "string" and name not in ("id", *LABELS)
    ]
    chosen = texts or tuple(strings[:2])
    if chosen:
        return {("text" if name in ("id", "index") else name): _values(dataset, name) for name in chosen}
    tokenizer = trainer.processing_class or getattr(trainer.data_collator, "tokenizer", None)
    if tokenizer is not None and hasattr(tokenizer, "batch_decode"):
        try:
            tokens = [dataset[row]["input_ids"] for row in range(len(dataset))]
            return {"text": tokenizer.batch_decode(tokens, skip_special_tokens=True)}
        except (KeyError, TypeError, IndexError):
            pass
    return {"text": [f"row {row}" for row in range(len(dataset))]}


def _values(dataset: Any, column: str) -> list[str]:
    """A column's values as text, also of a dataset that returns tensors."""
    plain = dataset.with_format(None) if hasattr(dataset, "with_format") else dataset
    return [str(value) for value in plain[column]]


def _strings(name: str, values: Sequence[str]) -> pl.Series:
    return pl.Series(name, values, dtype=pl.String)
