"""`Rows`: the loaded rows as one table, and the source they came from."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

if TYPE_CHECKING:
    from datasets import Dataset

ID = "id"
BLOCK_ROWS = 1 << 16
# What the target of a row is: one label, a label for each of its tokens, or a text.
Task = Literal["label", "tokens", "text"]


@dataclass(frozen=True)
class Part:
    """One file of a source, as it was when it was read."""

    path: str
    name: str  # relative to the common folder of the shards
    size: int  # bytes
    digest: str
    rows: int


@dataclass(frozen=True)
class HeldOut:
    """Rows of a source that are tested on and not trained on.

    `rows`: their numbers, (H,), counted over all files. `share`: the share of the rows that was asked for. `too_small`: the
    classes that no row was held out of.
    """

    rows: NDArray[np.int64]
    share: float
    too_small: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where rows came from; all that is needed to write them back.

    `format` is jsonl, json, csv, tsv, parquet, dataset (a saved dataset folder or a `datasets.Dataset`) or frame.
    Files are listed in `parts`; data from memory is in `memory`. `selected` holds the numbers of the rows that were loaded,
    (N,), counted over all files, or None if all were. `held_out` tells which rows were held out of these, and are kept in
    any case.
    """

    format: str
    path: str = ""
    sharded: bool = False
    parts: tuple[Part, ...] = ()
    memory: pa.Table | Dataset | None = None
    selected: NDArray[np.int64] | None = field(default=None, compare=False)
    held_out: HeldOut | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The source as the user gave it."""
        return self.path or f"the {self.format}"


def class_indices(labels: pl.Series, classes: Sequence[str]) -> NDArray[np.int64]:
    """The position of each label among the class names, (N,).

    >>> class_indices(pl.Series(["stop", "play"]), ("play", "stop"))
    array([1, 0])
    """
    return labels.cast(pl.Enum(classes)).to_physical().to_numpy().astype(np.int64)


@dataclass(frozen=True)
class Rows:
    """Texts with their targets: a table with the columns id, text(s), label and groups, in input order.

    All columns are strings and have the user's names, except `id`. `classes` holds the class names; the position of a
    name is its integer label. Rows of another `task` than "label" are of one class; those whose target is a text have it as the
    last of their texts, after the prompt.
    """

    table: pl.DataFrame
    text: tuple[str, ...]
    label: str
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    source: Source
    integer_labels: bool
    task: Task = "label"

    def __len__(self) -> int:
        return self.table.height

    def labels(self) -> NDArray[np.int64]:
        """The integer label of every row, shape (N,).

        >>> import polars as pl, thresher.rows
        >>> frame = pl.DataFrame({"text": ["hi", "bye", "hello"], "label": ["greet", "leave", "greet"]})
        >>> thresher.rows.load(frame, text="text", label="label").labels()
        array([0, 1, 0])
        """
        return class_indices(self.table[self.label], self.classes)

    def hash(self) -> str:
        """A hash of ids, texts, labels and groups in order; independent of column names, paths and formats.

        >>> import polars as pl, thresher.rows
        >>> frame = pl.DataFrame({"text": ["hi", "bye", "hello"], "label": ["greet", "leave", "greet"]})
        >>> renamed = frame.rename({"text": "utterance"})
        >>> one = thresher.rows.load(frame, text="text", label="label")
        >>> two = thresher.rows.load(renamed, text="utterance", label="label")
        >>> one.hash() == two.hash()
        True
        """
        return self._hash

    @cached_property
    def _hash(self) -> str:
        hasher = hashlib.blake2b(f"{len(self)} {len(self.text)} {len(self.groups)}".encode(), digest_size=12)
        for column in (ID, *self.text, self.label, *self.groups):
            values = self.table[column]
            blocks = [values[start : start + BLOCK_ROWS] for start in range(0, len(self), BLOCK_ROWS)]
            # The lengths distinguish "ab", "c" from "a", "bc".
            for block in blocks:
                hasher.update(block.str.len_bytes().to_numpy().astype("<i8").tobytes())
            for block in blocks:
                hasher.update("".join(block.to_list()).encode())
        return hasher.hexdigest()
