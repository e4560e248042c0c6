"""The rows that a proof trains on, where it does not take all of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.progress import warn
from thresher.row_hash import hash_ids

# Not the hash that draws ties and samples of a selection, nor that of random rows: see `arms.APART`.
APART = 1 << 33


def proof_rows(table: pl.DataFrame, label: str, number: int | None) -> NDArray[np.bool_]:
    """Which rows a proof trains on, (N,): so many, of each class its share, by a hash of the ids; without a number all of them.

    Every class has a row where there are as many rows as classes.

    >>> table = pl.DataFrame({"id": list("abcdefgh"), "label": list("xxxxxxyz")})
    >>> chosen = proof_rows(table, "label", 4)
    >>> sorted(table.filter(pl.Series(chosen))["label"]), int(proof_rows(table, "label", None).sum())
    (['x', 'x', 'y', 'z'], 8)
    """
    if number is None or number >= table.height:
        return np.ones(table.height, bool)
    hashes = hash_ids(table["id"], APART)
    drawn = table.select(label).with_columns(hash=pl.Series(hashes))
    # The k-th of the n rows of a class stands at (k - 1) / n: the first rows in this order hold each class's share.
    number_in_class = pl.col("hash").rank("ordinal").over(label).cast(pl.Float64)
    place = drawn.select(place=(number_in_class - 1) / pl.len().over(label))["place"]
    order = np.lexsort((hashes, place.to_numpy()))
    chosen = np.zeros(table.height, bool)
    chosen[order[:number]] = True
    return chosen


def tell_idle(number: int | None, rows: int) -> None:
    """Warn where `--proof-rows` is at least the number of rows, so that it changes nothing."""
    if number is not None and number >= rows:
        warn(f"--proof-rows {number:,}: there are {rows:,} rows, so the proof trains on all of them")


def trained_on(facts: Mapping[str, Any]) -> str:
    """That a comparison trained on a part of the rows, in words, with a space before it; empty where it took all.

    >>> trained_on({"n_full": 9000, "proof_rows": 2000})
    ' The proof trained on 2,000 of the 9,000 rows, drawn class by class; a proof on all of them can differ.'
    >>> trained_on({"n_full": 9000, "proof_rows": 9000})
    ''
    """
    number = facts.get("proof_rows", facts["n_full"])
    if number == facts["n_full"]:
        return ""
    return (
        f" The proof trained on {number:,} of the {facts['n_full']:,} rows, drawn class by class; a proof on all of them"
        " can differ."
    )
