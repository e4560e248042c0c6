"""Hold out a share of the training rows, grouped by text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from thresher.row_hash import purpose_hashes, uniform
from thresher.rows.normalise import text_keys
from thresher.rows.table import Rows


def split_off(rows: Rows, share: float, seed: int = 0) -> tuple[Rows, Rows]:
    """Split rows into training rows and about a `share` of held-out rows; equal normalised texts stay on one side.

    Which texts are held out depends on the text and the seed alone. A class that would lose all its rows is not split.

    >>> import polars as pl
    >>> from thresher.rows import load
    >>> frame = pl.DataFrame({"text": ["Play jazz", "play jazz", *map(str, range(8))], "label": ["a", "b"] * 5})
    >>> train, held_out = split_off(load(frame, text="text", label="label"), 0.3)
    >>> len(train), len(held_out), set(train.table["text"]) & set(held_out.table["text"])
    (7, 3, set())
    """
    texts, labels = text_keys(rows), rows.labels()
    held_out: NDArray[np.bool_] = uniform(purpose_hashes(texts, seed, "set aside")) < share
    trained = np.bincount(labels[~held_out], minlength=len(rows.classes)) > 0
    spared = {texts[row] for row in np.flatnonzero(held_out & ~trained[labels])}
    if spared:
        held_out &= np.array([text not in spared for text in texts])
    return replace(rows, table=rows.table.filter(~held_out)), replace(rows, table=rows.table.filter(held_out))
