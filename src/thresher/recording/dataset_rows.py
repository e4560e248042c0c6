"""The dataset of a recorded trainer as the rows of a run folder: ids, texts, labels and class names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from transformers import Trainer

from thresher.errors import UserError
from thresher.progress import say
from thresher.recording.datasets import column_names, plain, tokenizer_of
from thresher.recording.step import LABELS
from thresher.rows import Rows
from thresher.rows.table import Source, Task

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Columns of texts by their usual names.
USUAL = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("text", "text_pair"),
    ("question", "sentence"),
    ("text",),
    ("sentence",),
    ("utterance",),
    ("query",),
)
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
    return table_rows(ids, texts_of(trainer, texts), numbers, labels, classes)


def table_rows(
    ids: pl.Series,
    columns: Mapping[str, Sequence[str]],
    numbers: np.ndarray,
    labels: np.ndarray | None,
    classes: tuple[str, ...],
) -> Rows:
    """The rows `numbers` (N,) of a dataset with these ids and columns of text; `labels` (N,) as in `rows_of`."""
    taken = {"id", "index", *columns}
    label = next(name for name in ("label", "class", "thresher_label") if name not in taken)
    named = [classes[index] for index in (np.zeros(len(numbers), np.int32) if labels is None else labels)]
    dataset = pl.DataFrame([ids, *(_strings(*column) for column in columns.items())]).with_row_index("index")
    table = dataset[numbers].with_columns(_strings(label, named))
    memory = table.to_arrow(compat_level=pl.CompatLevel.oldest())
    source = Source("frame", memory=memory)
    task: Task = "tokens" if labels is None else "label"
    return Rows(table.drop("index"), tuple(columns), label, (), classes, source, False, task)


def check_columns(dataset: object, columns: Sequence[str]) -> None:
    known = column_names(dataset)
    for column in columns:
        if column not in known:
            has = f"it has {', '.join(known)}" if known else f"{type(dataset).__name__} has no named columns"
            raise UserError(f"the train_dataset has no column '{column}'; {has}")


def ids_of(dataset: Any, id: str | None, places: Sequence[int] | None = None) -> pl.Series:
    """The ids of the rows: a column, or their places (by default the row numbers) if there is none or it is not unique."""
    column = id or ("id" if "id" in column_names(dataset) else None)
    if column is not None:
        found = _strings("id", _values(dataset, column))
        if found.n_unique() == len(found):
            return found
        say(f"watch: column '{column}' is not unique; rows are named by their numbers instead")
    return _strings("id", [str(row) for row in (range(len(dataset)) if places is None else places)])


def label_names(trainer: Trainer) -> tuple[str, ...]:
    return (*trainer.label_names, *LABELS)


def label_of(trainer: Trainer, row: int) -> int:
    """The label of a row that was not recorded; -1 where it is ignored, or is not a class number in the dataset."""
    item = trainer.train_dataset[row]
    found = np.asarray(next((item[name] for name in label_names(trainer) if name in item), None)).reshape(-1)[
        0
    ]
    return max(-1, int(found)) if isinstance(found, int | np.integer) else -1


def class_names(trainer: Trainer, labels: np.ndarray) -> tuple[str, ...]:
    """The names of the classes: the model's, or the dataset's where the model only numbers them."""
    count = int(labels.max(initial=0)) + 1
    named = getattr(getattr(trainer.model, "config", None), "id2label", None) or {}
    names = [str(named.get(index, index)) for index in range(max(count, len(named)))]
    features = getattr(trainer.train_dataset, "features", None) or {}
    for column in label_names(trainer):
        known = getattr(features.get(column), "names", None)
        if known and len(known) >= count and all(name == f"LABEL_{i}" for i, name in enumerate(names)):
            names = list(known)
    return tuple(names) if len(set(names)) == len(names) else tuple(map(str, range(len(names))))


def texts_of(trainer: Trainer, texts: tuple[str, ...] | None) -> dict[str, list[str]]:
    """One or two columns of text: those asked for, else columns of strings, else the decoded tokens, else row numbers."""
    dataset = trainer.train_dataset
    tokenizer = tokenizer_of(trainer)
    if chosen := texts or source_columns(dataset, tokenizer, label_names(trainer)):
        return {("text" if name in ("id", "index") else name): _values(dataset, name) for name in chosen}
    if tokenizer is not None and hasattr(tokenizer, "batch_decode"):
        try:
            tokens = [dataset[row]["input_ids"] for row in range(len(dataset))]
            return {"text": tokenizer.batch_decode(tokens, skip_special_tokens=True)}
        except (KeyError, TypeError, IndexError):
            pass
    return {"text": [f"row {row}" for row in range(len(dataset))]}


def source_columns(
    dataset: Any, tokenizer: PreTrainedTokenizerBase | None, labels: Sequence[str] = LABELS
) -> tuple[str, ...]:
    """The columns of strings that the tokens of the first rows were made from, one or two; () without columns of strings.

    Longer columns are looked for first, and what is found is taken out: the name of a class may be a word of the text. Where
    nothing is found, as without tokens in the dataset, columns go by their names, and then by their place.
    """
    features = getattr(dataset, "features", None) or {}
    strings = [
        name
        for name, kind in features.items()
        if getattr(kind, "dtype", "") == "string" and name not in ("id", *labels)
    ]
    if len(strings) < 2:
        return tuple(strings)
    rows = plain(dataset)[:8]
    values = {name: [_letters(str(value)) for value in rows[name]] for name in strings}
    found: set[str] = set()
    if "input_ids" in rows and tokenizer is not None and hasattr(tokenizer, "decode"):
        left = [_letters(tokenizer.decode(tokens, skip_special_tokens=True)) for tokens in rows["input_ids"]]
        for name in sorted(strings, key=lambda name: -sum(map(len, values[name]))):
            starts = [
                text.find(value[:12]) if value else -1 for text, value in zip(left, values[name], strict=True)
            ]
            if 2 * sum(start >= 0 for start in starts) >= len(starts):
                found.add(name)
                cuts = zip(left, starts, values[name], strict=True)
                left = [text if at < 0 else text[:at] + text[at + len(value) :] for text, at, value in cuts]
    known = next((names for names in USUAL if all(name in strings for name in names)), tuple(strings[:2]))
    return tuple(name for name in strings if name in found)[:2] or known


def _letters(text: str) -> str:
    return "".join(letter for letter in text.lower() if letter.isalnum())


def _values(dataset: object, column: str) -> list[str]:
    """A column's values as text, also of a dataset that returns tensors."""
    return [str(value) for value in plain(dataset)[column]]


def _strings(name: str, values: Sequence[str]) -> pl.Series:
    return pl.Series(name, values, dtype=pl.String)
