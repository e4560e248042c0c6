"""Prototypicality: the distance to the centre of the class."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.scores.neighbours import id_order, of_length_one
from thresher.scores.read import MissingSignal, array, labels
from thresher.scores.registry import score
from thresher.scores.source import Source, whole

BLOCK_ROWS = 1 << 16


Numbers = npt.NDArray[np.float64]


def by_class(source: Source, *, metric: Literal["euclidean", "cosine"]) -> Numbers:
    """`prototypicality` of signals in files, (N,): the vectors of one class are in memory at a time."""
    if "features" not in source.schema:
        raise MissingSignal("'features' was not measured")
    told = whole(source, ("id", "label"), BLOCK_ROWS)
    return distances(told, source.vectors, metric)


def distances(
    rows: pl.DataFrame, vectors: Callable[[npt.NDArray[np.int64]], npt.NDArray[np.float32]], metric: str
) -> Numbers:
    """The distances of rows with an id and a label, (N,); `vectors` gives those of some rows, (n, H)."""
    order = id_order(rows)
    label = labels(rows)[order]
    values = np.empty(len(order))
    for one in np.unique(label):
        mine = order[label == one]
        own = vectors(mine)
        own = (of_length_one(own) if metric == "cosine" else own).astype(np.float64)  # (n, H)
        centre = own.mean(axis=0)  # (H,)
        if metric == "cosine":
            centre /= max(float(np.sqrt(centre @ centre)), np.finfo(np.float64).tiny)
            distance = 1.0 - np.einsum("nh,h->n", own, centre)
        else:
            own -= centre
            distance = np.sqrt(np.einsum("nh,nh->n", own, own))
        values[mine] = distance
    return values


@score(
    "prototypicality",
    needs=("features",),
    hard="high",
    runs=1,
    reads="rows",
    by_blocks=by_class,
    cost="the encoder's features, no training",
    source="Sorscher et al., NeurIPS 2022 (arXiv 2206.14486), section 5; Xia et al., ICLR 2023 (Moderate coreset)",
)
def prototypicality(
    signals: pl.DataFrame, checkpoints: pl.DataFrame, *, metric: Literal["euclidean", "cosine"] = "euclidean"
) -> pl.Series:
    """Distance of the row's features from the mean of its class.

        euclidean:  || f_i - mean of f_j over the rows j of the class ||_2        units of the features
        cosine:     1 - cos(f_i, that mean of the unit vectors)                   0 to 2

    with f the encoder's feature vector; shape (N,). High is hard: unlike its class. The Moderate coreset is
    `--by prototypicality --strategy moderate`: the rows whose distance is nearest to the median.

    Where we differ: Sorscher et al. take the centres of k-means clusters; as in the Moderate coreset, the classes are
    the clusters here.

    >>> kind = {"features": pl.Array(pl.Float32, 2)}
    >>> rows = {"id": ["a", "b", "c"], "label": [0, 0, 1], "features": [[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]]}
    >>> prototypicality(pl.DataFrame(rows, schema_overrides=kind), pl.DataFrame()).to_list()
    [1.0, 1.0, 0.0]
    """
    features = array(signals, "features")
    values = distances(signals, lambda rows: features[rows], metric)
    return pl.Series("prototypicality", values, dtype=pl.Float64)
