"""Prototypicality: the distance to the centre of the class."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from thresher.scores.neighbours import id_order, unit_vectors
from thresher.scores.read import array, labels
from thresher.scores.registry import score


@score(
    "prototypicality",
    needs=("features",),
    hard="high",
    runs=1,
    reads="rows",
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

    Raises
    ------
    MissingSignal
        the signals lack `features`.

    >>> kind = {"features": pl.Array(pl.Float32, 2)}
    >>> rows = {"id": ["a", "b", "c"], "label": [0, 0, 1], "features": [[0.0, 0.0], [2.0, 0.0], [5.0, 5.0]]}
    >>> prototypicality(pl.DataFrame(rows, schema_overrides=kind), pl.DataFrame()).to_list()
    [1.0, 1.0, 0.0]
    """
    features = array(signals, "features")
    order = id_order(signals)
    vectors, place = (unit_vectors(signals, order), None) if metric == "cosine" else (features, order)
    label = labels(signals)[order]
    values = np.empty(len(order))
    for one in np.unique(label):
        rows = np.flatnonzero(label == one)
        own = vectors[rows if place is None else place[rows]].astype(np.float64)  # (n, H)
        centre = own.mean(axis=0)  # (H,)
        if metric == "cosine":
            centre /= max(float(np.sqrt(centre @ centre)), np.finfo(np.float64).tiny)
            distance = 1.0 - np.einsum("nh,h->n", own, centre)
        else:
            distance = np.sqrt(np.einsum("nh,nh->n", own - centre, own - centre))
        values[order[rows]] = distance
    return pl.Series("prototypicality", values, dtype=pl.Float64)
