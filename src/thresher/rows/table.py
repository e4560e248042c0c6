"""The rows in memory: one table, and where it came from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

ID = "id"


@dataclass(frozen=True)
class Part:
    """One file of the source, as it was when it was read."""

    path: str
    name: str  # below the shards' common folder
    size: int  # bytes
    digest: str
    rows: int


@dataclass(frozen=True)
class Source:
    """Where rows came from, which is all that writing them back takes.

    `format` is jsonl, json, csv, tsv, parquet, dataset (a saved dataset folder or a `datasets.Dataset`) or frame.
    Files are named in `parts`; what came from memory stands in `memory`: a `pyarrow.Table` or a `datasets.Dataset`.
    """

    format: str
    path: str = ""
    sharded: bool = False
    parts: tuple[Part, ...] = ()
    memory: Any = None

    @property
    def name(self) -> str:
        """The source as the user named it."""
        return self.path or f"the {self.format}"


@dataclass(frozen=True)
class Rows:
    """Labelled texts: a table with the columns id, the text column(s), the label and the groups, in input order.

    All columns are strings and the names are the user's, except `id`. `classes` holds the class names; the place of a
    name in it is the integer label.
    """

    table: pl.DataFrame
    text: tuple[str, ...]
    label: str
    groups: tuple[str, ...]
    classes: tuple[str, ...]
    source: Source
    integer_labels: bool

    def __len__(self) -> int:
        return self.table.height

    def labels(self) -> NDArray[np.int64]:
        """The integer label of every row, shape (N,): the place of its class in `classes`.

        >>> import polars as pl, thresher.rows
        >>> frame = pl.DataFrame({"text": ["hi", "bye", "hello"], "label": ["greet", "leave", "greet"]})
        >>> thresher.rows.load(frame, text="text", label="label").labels()
        array([0, 1, 0])
        """
        return self.table[self.label].cast(pl.Enum(self.classes)).to_physical().to_numpy().astype(np.int64)

    def hash(self) -> str:
        """Hash of the content in order: ids, texts, labels, groups; not of names, paths or formats.

        >>> import polars as pl, thresher.rows
        >>> frame = pl.DataFrame({"text": ["hi", "bye", "hello"], "label": ["greet", "leave", "greet"]})
        >>> renamed = frame.rename({"text": "utterance"})
        >>> one = thresher.rows.load(frame, text="text", label="label")
        >>> two = thresher.rows.load(renamed, text="utterance", label="label")
        >>> one.hash() == two.hash()
        True
        """
        hasher = hashlib.blake2b(f"{len(self)} {len(self.text)} {len(self.groups)}".encode(), digest_size=12)
        for column in (ID, *self.text, self.label, *self.groups):
            values = self.table[column]
            # The lengths keep "ab", "c" apart from "a", "bc".
            hasher.update(values.str.len_bytes().to_numpy().astype("<i8").tobytes())
            hasher.update("".join(values.to_list()).encode())
        return hasher.hexdigest()
