"""Rows set aside from the training rows, by text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thresher.row_hash import purpose_hashes, uniform
from thresher.rows.audit import normalised
from thresher.rows.table import Rows


def split_off(rows: Rows, share: float, seed: int = 0) -> tuple[Rows, Rows]:
    """The rows that stay, and about a `share` of them set aside: rows of the same normalised text on the same side.

    Which text is set aside depends on the text and the seed alone. A class whose every row would go stays.

    >>> import polars as pl
    >>> from thresher.rows import load
    >>> frame = pl.DataFrame({"text": ["Play jazz", "play jazz", *map(str, range(8))], "label": ["a", "b"] * 5})
    >>> stay, aside = split_off(load(frame, text="text", label="label"), 0.3)
    >>> len(stay), len(aside), set(stay.table["text"]) & set(aside.table["text"])
    (7, 3, set())
    """
    columns = [[normalised(text) for text in rows.table[name]] for name in rows.text]
    texts = ["\x1f".join(row) for row in zip(*columns, strict=True)]
    aside: NDArray[np.bool_] = uniform(purpose_hashes(texts, seed, "set aside")) < share
    labels = rows.labels()
    stays = np.bincount(labels[~aside], minlength=len(rows.classes)) > 0
    gone = {texts[row] for row in np.flatnonzero(aside & ~stays[labels])}
    if gone:
        aside &= np.array([text not in gone for text in texts])
    return replace(rows, table=rows.table.filter(~aside)), replace(rows, table=rows.table.filter(aside))
