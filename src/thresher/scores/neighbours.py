"""Similarities of all pairs of feature vectors, exact, computed by blocks."""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.scores.read import MissingSignal, array

Vectors = npt.NDArray[np.float32]
BLOCK = 1024
# All pairs of 50,000 rows of 384 numbers take about a minute on one core.
_MOST_PAIRS = 50_000**2


class Nearest(NamedTuple):
    """The nearest other rows of each row, nearest first: their places (N, k) and cosine similarities (N, k)."""

    place: npt.NDArray[np.int64]
    similarity: Vectors


def id_order(signals: pl.DataFrame) -> npt.NDArray[np.int64]:
    """The rows in the order of a hash of their ids, (N,), which does not depend on the order of the table.

    Scores that read other rows compute in this order, so that the same rows give the same bits whatever their order.

    >>> one, other = pl.DataFrame({"id": ["a", "b", "c"]}), pl.DataFrame({"id": ["c", "a", "b"]})
    >>> one["id"][id_order(one)].to_list() == other["id"][id_order(other)].to_list()
    True
    """
    digests = id_digests(signals["id"])
    return np.lexsort((digests[:, 1], digests[:, 0])).astype(np.int64)


def id_digests(ids: pl.Series) -> npt.NDArray[np.uint64]:
    """The 16 bytes of BLAKE2b of every id, as two numbers that sort like them; (N, 2)."""
    digests = (hashlib.blake2b(str(one).encode(), digest_size=16).digest() for one in ids)
    return np.frombuffer(b"".join(digests), dtype=">u8").reshape(-1, 2).astype(np.uint64)


def unit_vectors(signals: pl.DataFrame, order: npt.NDArray[np.int64]) -> Vectors:
    """The feature vectors in that order, scaled to length 1; (N, H) float32. A vector of zeros is left as it is.

    >>> signals = pl.DataFrame({"features": [[3.0, 4.0]]}, schema={"features": pl.Array(pl.Float32, 2)})
    >>> unit_vectors(signals, np.array([0])).tolist()
    [[0.6000000238418579, 0.800000011920929]]
    """
    features = array(signals, "features")
    scaled = np.empty(features.shape, dtype=np.float32)
    for start in range(0, len(order), BLOCK):
        scaled[start : start + BLOCK] = of_length_one(features[order[start : start + BLOCK]])
    return scaled


def of_length_one(vectors: Vectors) -> Vectors:
    """Vectors (n, H) scaled to length 1; a vector of zeros is left as it is."""
    block = vectors.astype(np.float64)
    length = np.sqrt(np.einsum("nh,nh->n", block, block))
    scaled: Vectors = (block / np.where(length > 0, length, 1.0)[:, None]).astype(np.float32)
    return scaled


def nearest(vectors: Vectors, k: int) -> Nearest:
    """The k nearest other rows of every row by cosine similarity (all others, if there are fewer than k).

    Parameters: `vectors` (N, H), of length 1. Equally near rows are taken in their order.

    Raises MissingSignal: too many rows to compare all pairs.

    >>> nearest(np.array([[1, 0], [0, 1], [0.6, 0.8]], dtype=np.float32), 1).place.tolist()
    [[2], [2], [1]]
    """
    rows = len(vectors)
    check_pairs(rows * rows)
    k = min(k, rows - 1)
    place = np.empty((rows, k), dtype=np.int64)
    similarity = np.empty((rows, k), dtype=np.float32)
    for start in range(0, rows if k else 0, BLOCK):
        block = vectors[start : start + BLOCK] @ vectors.T  # (B, N)
        own = np.arange(len(block))
        block[own, start + own] = -np.inf
        # argpartition would take any of the rows that are as near as the k-th: all of them are compared.
        edge = np.partition(block, rows - k, axis=1)[:, rows - k]
        for row in own:
            near = np.flatnonzero(block[row] >= edge[row])
            best = near[np.argsort(-block[row, near], kind="stable")[:k]]
            place[start + row], similarity[start + row] = best, block[row, best]
    return Nearest(place, np.clip(similarity, -1.0, 1.0))


def check_pairs(pairs: int) -> None:
    """Refuse more pairs than can be compared in a minute or two.

    Raises MissingSignal: too many pairs.
    """
    if pairs > _MOST_PAIRS:
        raise MissingSignal(
            f"{pairs:,} pairs of rows to compare, more than the {_MOST_PAIRS:,} that take minutes; score a sample"
        )
