"""D2 pruning: difficulty and diversity on a graph of neighbours."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError
from thresher.scores.columns import hard_is_high
from thresher.scores.neighbours import Nearest, id_order, nearest, unit_vectors
from thresher.scores.read import array
from thresher.scores.registry import score

Numbers = npt.NDArray[np.float64]


@score(
    "d2",
    needs=("features",),
    hard="high",
    runs="all",
    reads="scores",
    made_of=lambda by, **_: (by,),
    pairs="all",
    cost="another score and the encoder's features",
    source="Maharana, Yadav and Bansal, ICLR 2024 (arXiv 2310.07931), sections 3.1 to 3.3",
)
def d2(
    table: pl.DataFrame,
    signals: pl.DataFrame,
    *,
    by: str = "el2n_mean",
    neighbours: int = 5,
    gamma_forward: float = 1.0,
    gamma_reverse: float = 1.0,
) -> pl.Series:
    """D2 pruning: the place of the row in the order in which D2 picks rows, 1 for the first and 1/N for the last.

    With s the score `by`, scaled to 0..1 with hard rows at 1, N(i) the nearest rows of row i by the cosine of their
    features, and d_ij = || f_i - f_j ||_2 of the features at length 1:

        forward:   x_i = s_i + sum over j in N(i) of  exp(-gamma_forward * d_ij) * s_j
        reverse:   pick k = argmax x over the rows not yet picked, then
                   x_j = x_j - exp(-gamma_reverse * d_kj) * x_k        for j in N(k)

    and so on until every row is picked. A pick does not depend on how many follow, so the rows with the largest score
    are exactly those that D2 keeps, at any share. Shape (N,). Of equal x the row first by the hash of its id is picked.

    Where the paper and its code differ: the weights are those of the released code, exp(-gamma * distance) on directed
    edges. Features are scaled to length 1, so that one gamma suits every encoder.

    Raises MissingSignal: the signals lack `features`, `by` was not computed, or too many pairs to compare.
    Raises UserError: no such score, or fewer than one neighbour.

    >>> kind = {"features": pl.Array(pl.Float32, 2)}
    >>> signals = pl.DataFrame({"id": ["a", "b", "c"], "features": [[1, 0], [1, 0], [0, 1]]}, schema_overrides=kind)
    >>> table = pl.DataFrame({"id": ["a", "b", "c"], "el2n_mean": [1.0, 0.9, 0.5]})
    >>> d2(table, signals, neighbours=1).rank(descending=True).to_list()  # b is as good as picked with a
    [1.0, 3.0, 2.0]
    """
    if neighbours < 1:
        raise UserError(f"score 'd2': option 'neighbours' is {neighbours}; it must be at least 1")
    high = hard_is_high(table, by)
    array(signals, "features")
    order = id_order(signals)
    difficulty = high[order]
    span = difficulty.max(initial=0.0) - difficulty.min(initial=0.0)
    scaled = (difficulty - difficulty.min()) / span if span > 0 else np.ones(len(difficulty))
    near = nearest(unit_vectors(signals, order), neighbours)
    # |a - b|^2 = 2 - 2 cos for vectors of length 1.
    distance = np.sqrt(np.maximum(2.0 - 2.0 * near.similarity.astype(np.float64), 0.0))  # (N, k)
    forward = scaled + np.einsum("nk,nk->n", np.exp(-gamma_forward * distance), scaled[near.place])
    picked = pick_order(forward, near, np.exp(-gamma_reverse * distance))
    values = np.empty(len(order))
    values[order[picked]] = 1.0 - np.arange(len(order)) / max(len(order), 1)
    return pl.Series("d2", values, dtype=pl.Float64)


def pick_order(start: Numbers, near: Nearest, weight: Numbers) -> npt.NDArray[np.int64]:
    """The rows in the order of the reverse message passing; `start` (N,), `weight` (N, k) of the edges.

    A heap holds a value of every row; one that has changed since is put back with its new value before it is taken.
    """
    value = start.copy()
    heap = [(-x, row) for row, x in enumerate(value.tolist())]
    heapq.heapify(heap)
    left = np.ones(len(value), dtype=np.bool_)
    picked = []
    while heap:
        held, row = heapq.heappop(heap)
        if not left[row] or -held != value[row]:
            continue
        left[row] = False
        picked.append(row)
        place = near.place[row]
        value[place] -= weight[row] * value[row]
        for changed in place[left[place]].tolist():
            heapq.heappush(heap, (-value[changed], changed))
    return np.array(picked, dtype=np.int64)
