"""Near-duplicates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.scores.neighbours import BLOCK, Vectors, check_pairs, id_order, unit_vectors
from thresher.scores.read import array, labels
from thresher.scores.registry import score


@score(
    "duplicates",
    needs=("features",),
    hard="low",
    runs=1,
    reads="rows",
    pairs="class",
    cost="the encoder's features, no training",
    source="near-duplicate removal in embedding space: SemDeDup, Abbas et al. 2023 (arXiv 2303.09540), section 3",
)
def duplicates(signals: pl.DataFrame, checkpoints: pl.DataFrame, *, keep_one: bool = True) -> pl.Series:
    """Similarity to the nearest row of the same class: how little a row adds to the others.

        duplicates = max over rows j of the class, j before i, of  cos(f_i, f_j)        -1 to 1; shape (N,)

    with f the encoder's feature vector. High is easy: dropping the easy end drops near-equal texts. "Before" is the
    order of a hash of the ids, so one of two equal rows is always kept; with `keep_one=false` all other rows are compared,
    and both are dropped. A row with none before it has -1. It is the baseline that every score should beat.

    Where we differ: SemDeDup clusters first and compares within clusters; this compares all pairs of a class.

    Raises MissingSignal: the signals lack `features`, or too many pairs to compare.

    >>> kind = {"features": pl.Array(pl.Float32, 2)}
    >>> rows = {"id": ["a", "b", "c"], "label": [0, 0, 0], "features": [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]}
    >>> found = duplicates(pl.DataFrame(rows, schema_overrides=kind), pl.DataFrame())
    >>> sorted(found.to_list())
    [-1.0, 0.0, 1.0]
    """
    array(signals, "features")
    order = id_order(signals)
    vectors, label = unit_vectors(signals, order), labels(signals)[order]
    members = [np.flatnonzero(label == one) for one in np.unique(label)]
    check_pairs(sum(len(rows) ** 2 for rows in members))
    values = np.empty(len(order))
    for rows in members:
        values[order[rows]] = _nearest_of(vectors[rows], keep_one)
    return pl.Series("duplicates", values, dtype=pl.Float64)


def _nearest_of(vectors: Vectors, only_before: bool) -> npt.NDArray[np.float64]:
    """The largest similarity to another row (with `only_before`, to an earlier one), -1 without one; (n, H) to (n,)."""
    found = np.empty(len(vectors))
    for start in range(0, len(vectors), BLOCK):
        stop = min(start + BLOCK, len(vectors))
        block = vectors[start:stop] @ vectors[: stop if only_before else None].T  # (B, n)
        row, column = np.arange(start, stop)[:, None], np.arange(block.shape[1])
        block[column >= row if only_before else column == row] = -1.0
        found[start:stop] = block.max(axis=1)
    return np.clip(found, -1.0, 1.0)
