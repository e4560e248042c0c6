"""Plant label noise: which labels change depends on the row ids and a seed, never on the row order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from thresher.row_hash import purpose_hashes, uniform


class Noisy(NamedTuple):
    """The labels after noise (N,), and which of them changed (N,)."""

    labels: NDArray[np.int64]
    changed: NDArray[np.bool_]


def isotropic(labels: ArrayLike, n_classes: int, share: float, *, ids: Sequence[str], seed: int = 0) -> Noisy:
    """Redraw the labels of a share of the rows uniformly over ALL classes.

    Exactly round(share * N) rows are redrawn, and each keeps its label with probability 1 / n_classes. So the expected
    share of wrong labels is share * (1 - 1 / n_classes): 2/3 of the share with three classes.

    `labels`: integer labels, shape (N,). `share`: of the rows, 0..1. `ids`: row ids, (N,). Whether a row is redrawn depends on
    its id, the seed and, because the count is exact, on which other rows there are; not on the order.

    Raises ValueError: share outside [0, 1], or lengths that differ.

    Source: Anand et al., EMNLP 2023 (arXiv 2311.16298), section 2.4 and table 4.

    >>> ids = [str(row) for row in range(9000)]
    >>> noisy = isotropic(np.arange(9000) % 3, 3, 0.3, ids=ids)
    >>> round(float(noisy.changed.mean()), 2)
    0.2
    """
    before = _checked(labels, ids, n_classes)
    return group_conditional(
        before, np.zeros(len(before), dtype=np.int64), n_classes, {0: share}, ids=ids, seed=seed
    )


def group_conditional(
    labels: ArrayLike,
    groups: ArrayLike,
    n_classes: int,
    shares: Mapping[str, float] | Mapping[int, float],
    *,
    ids: Sequence[str],
    seed: int = 0,
) -> Noisy:
    """Isotropic noise with a different share per group: in group g exactly round(shares[g] * N_g) rows are redrawn.

    Groups that are not in `shares` keep their labels.

    >>> ids = ["a", "b", "c", "d"]
    >>> noisy = group_conditional([0, 0, 0, 0], ["live", "live", "lab", "lab"], 1000, {"live": 1.0}, ids=ids)
    >>> noisy.changed.tolist()
    [True, True, False, False]
    """
    before = _checked(labels, ids, n_classes)
    member = np.asarray(groups)
    if member.shape != before.shape:
        raise ValueError(f"{len(member)} groups for {len(before)} labels")
    rank = uniform(purpose_hashes(ids, seed, "which"))
    redrawn = np.zeros(len(before), dtype=bool)
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ValueError(f"share {share} of group {name!r} is outside 0..1")
        rows = np.flatnonzero(member == name)
        redrawn[rows[np.argsort(rank[rows], kind="stable")[: round(share * len(rows))]]] = True
    drawn = (uniform(purpose_hashes(ids, seed, "what")) * n_classes).astype(np.int64)
    after = np.where(redrawn, drawn, before)
    return Noisy(after, after != before)


def class_conditional(
    labels: ArrayLike, transition: ArrayLike, *, ids: Sequence[str], seed: int = 0
) -> Noisy:
    """Replace every label i by a draw from row i of a transition matrix.

    P(new = j | old = i) = transition[i, j], shape (n_classes, n_classes), rows sum to 1. Rows are drawn independently, so
    the realised shares vary around the matrix.

    Raises ValueError: not a square matrix of probabilities, or lengths that differ.

    >>> swap = [[0.0, 1.0], [0.0, 1.0]]
    >>> class_conditional([0, 1, 0], swap, ids=["a", "b", "c"]).labels.tolist()
    [1, 1, 1]
    """
    matrix = np.asarray(transition, dtype=np.float64)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"the transition matrix has shape {matrix.shape}; it must be square")
    if (matrix < 0).any() or not np.allclose(matrix.sum(axis=1), 1):
        raise ValueError("every row of the transition matrix must contain probabilities that sum to 1")
    before = _checked(labels, ids, len(matrix))
    below = np.cumsum(matrix, axis=1)
    below[:, -1] = 1.0
    number = uniform(purpose_hashes(ids, seed, "transition"))
    after = (number[:, None] >= below[before]).sum(axis=1)
    return Noisy(after, after != before)


def _checked(labels: ArrayLike, ids: Sequence[str], n_classes: int) -> NDArray[np.int64]:
    before = np.asarray(labels, dtype=np.int64)
    if len(ids) != len(before):
        raise ValueError(f"{len(ids)} ids for {len(before)} labels")
    if len(before) and not (before.min() >= 0 and before.max() < n_classes):
        raise ValueError(f"labels must be in 0..{n_classes - 1}")
    return before
