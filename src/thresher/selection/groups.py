"""Group columns as small whole numbers, and rows that are protected by a value."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

# The number of each value of a column, in the order of first appearance; missing values form one group.
Codes = dict[str | None, int]


def encode(values: pl.Series, codes: Codes) -> NDArray[np.int32]:
    """The number of each value, compared as text (N,); new values are added to `codes`.

    >>> codes: Codes = {}
    >>> encode(pl.Series(["b", "a", None, "b"]), codes).tolist(), codes
    ([0, 1, 2, 0], {'b': 0, 'a': 1, None: 2})
    """
    text: Any = values.cast(pl.String).rechunk().to_arrow(compat_level=pl.CompatLevel.oldest())
    array = text.dictionary_encode(null_encoding="encode")
    numbers = [codes.setdefault(value, len(codes)) for value in array.dictionary.to_pylist()]
    local = array.indices.to_numpy(zero_copy_only=False)
    coded: NDArray[np.int32] = np.array(numbers, dtype=np.int32)[local]
    return coded


def protected(frame: pl.DataFrame, protect: tuple[tuple[str, str], ...]) -> NDArray[np.bool_]:
    """Which rows have one of the (column, value) pairs, compared as text.

    >>> frame = pl.DataFrame({"source": ["live", "synthetic", None]})
    >>> protected(frame, (("source", "synthetic"),)).tolist()
    [False, True, False]
    """
    hit = np.zeros(frame.height, dtype=np.bool_)
    for column, value in protect:
        hit |= (frame[column].cast(pl.String) == value).fill_null(False).to_numpy()
    return hit
