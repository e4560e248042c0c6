"""Values of a group column as small numbers, and rows that are protected by a value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.selection.request import Request

# The number of each value met so far, per column; a missing value is a group of its own.
Codes = dict[str | None, int]


def encode(values: pl.Series, codes: Codes) -> NDArray[np.int32]:
    """The number of each value, compared as text; values not met before are entered into `codes`.

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


def groups_of(request: Request, codes: Mapping[str, Codes]) -> int:
    """How many groups the strata column has; 1 where there is none."""
    return 1 if request.stratify is None else len(codes[request.stratify])
