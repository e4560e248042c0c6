"""Clusters of loss trajectories."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError
from thresher.scores.neighbours import id_digests
from thresher.scores.probability import label_log_probability
from thresher.scores.read import MissingSignal
from thresher.scores.registry import score
from thresher.scores.source import FrameSource, Source

# The centres are fitted on at most so many rows, the first by a hash of their ids; every row then goes to the nearest centre.
MOST_ROWS = 100_000
BLOCK_ROWS = 1 << 14
Numbers = npt.NDArray[np.float64]
Digested = tuple[npt.NDArray[np.uint64], Numbers]  # digests of ids (n, 2) and losses (n, C)


def clustered(source: Source, *, clusters: int) -> Numbers:
    """`trajectory` of signals that are read block by block, twice; (N,)."""
    if clusters < 1:
        raise UserError(f"score 'trajectory': option 'clusters' is {clusters}; it must be at least 1")
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    columns = [name for name in ("id", "label", "logits", "loss") if name in source.schema]
    found_on = _sample(source, columns)
    centres = min(clusters, len(np.unique(found_on, axis=0)))
    values = np.empty(source.rows)
    start = 0
    # One thread: several would add up in a varying order, and the same rows would not give the same bits.
    with threadpool_limits(1):
        means = KMeans(centres, random_state=0, n_init=1).fit(found_on)
        rank = np.argsort(np.argsort(means.cluster_centers_.mean(axis=1), kind="stable"))  # (k,)
        for block in source.blocks(columns, BLOCK_ROWS):
            values[start : start + block.height] = rank[means.predict(-label_log_probability(block))]
            start += block.height
    return values


def _sample(source: Source, columns: list[str]) -> Numbers:
    """The losses of the `MOST_ROWS` rows that come first by the hash of their ids, in that order, (n, C)."""
    parts: list[Digested] = []
    broken, last = 0, np.uint64(2**64 - 1)
    for block in source.blocks(columns, BLOCK_ROWS):
        losses = -label_log_probability(block)  # (B, C)
        broken += int((~np.isfinite(losses)).any(axis=1).sum())
        digests = id_digests(block["id"])
        early = digests[:, 0] <= last
        parts.append((digests[early], losses[early]))
        if sum(len(one) for one, _ in parts) > 2 * MOST_ROWS:
            parts = [_first(parts)]
            last = parts[0][0][-1, 0]
    if broken:
        raise MissingSignal(f"not a finite loss for {broken} rows; did the training diverge?")
    return _first(parts)[1]


def _first(parts: list[Digested]) -> Digested:
    """The `MOST_ROWS` rows with the smallest digests, in their order."""
    digests, losses = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((digests[:, 1], digests[:, 0]))[:MOST_ROWS]
    return digests[order], losses[order]


@score(
    "trajectory",
    needs=("logits",),
    hard="high",
    runs=1,
    reads="rows",
    by_blocks=clustered,
    cost="all checkpoints of one training run",
    source="S2L: Yang, Mishra, Chiang and Mirzasoleiman, NeurIPS 2024 (arXiv 2403.07384)",
)
def trajectory(signals: pl.DataFrame, checkpoints: pl.DataFrame, *, clusters: int = 100) -> pl.Series:
    """The cluster of the row's loss trajectory; clusters are numbered by their mean loss.

    With L_i = (L_i1, .., L_iC), L_ic = - log softmax(logits_c)_y in nats, over the C checkpoints, and centres m_0 .. m_(k-1) of
    k-means on them, sorted by their mean over the checkpoints:

        trajectory = argmin_j || L_i - m_j ||_2        0 to k - 1; shape (N,)

    with k = `clusters`, or as many as there are different trajectories. High is hard. Rows of one cluster were learned alike,
    and the paper shows that their gradients are alike, too. S2L takes equally many rows of each cluster, small clusters whole:
    `--by trajectory --strategy coverage --strategy-option beta=0 --strategy-option strata=100`, with as many strata as clusters.

    Where we differ: the paper's trajectories are of a small language model, ours of a classifier of any size.

    Raises MissingSignal: the signals lack `logits`, or a loss is not finite.
    Raises UserError: fewer than one cluster.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> rows = {"id": ["a", "b", "c"], "label": [0, 0, 0], "logits": [[[0, 9], [0, 9]], [[0, 0], [9, 0]], [[0, 0], [8, 0]]]}
    >>> trajectory(pl.DataFrame(rows, schema_overrides=kind), pl.DataFrame(), clusters=2).to_list()
    [1.0, 0.0, 0.0]
    """
    return pl.Series(
        "trajectory", clustered(FrameSource(signals, checkpoints), clusters=clusters), dtype=pl.Float64
    )
