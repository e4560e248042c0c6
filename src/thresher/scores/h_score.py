"""H-score, and the subset whose size follows from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError
from thresher.scores.probability import right
from thresher.scores.read import by_index, checkpoint_at
from thresher.scores.registry import score


class Ticket(NamedTuple):
    """The parameters of a selection by H-score: the share to prune, the share at the hard end, and the rows kept."""

    prune: float
    beta: float
    kept: npt.NDArray[np.bool_]


@score(
    "h_score",
    needs=("logits",),
    hard="low",
    runs="all",
    cost="the end of every epoch of every run; the paper takes several runs",
    source="Tayaranian et al., CoLLAs 2024 (arXiv 2407.08887)",
)
def h_score(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> pl.Series:
    """H-score: how often the model was right about the row at the end of an epoch.

        H = 1/E sum over epochs e of  [argmax_k logits_e[k] = y]        0 to 1; shape (N,)

    over the checkpoints nearest to the end of epochs 1 .. E, each counted once; a run shorter than one epoch has its
    last checkpoint. Averaged over the runs by `score_table`, so that it is the success rate over runs and epochs.
    Low is hard. `winning_ticket` says which rows the paper keeps.

    Where the paper counts successes, this is their share: the same order, and one scale for any number of runs.

    Raises
    ------
    MissingSignal
        the signals lack `logits`, or there are no checkpoints.

    >>> kind = {"logits": pl.Array(pl.Float32, (3, 2))}
    >>> rows = {"label": [0], "logits": [[[0.0, 1.0], [0.0, 1.0], [9.0, 0.0]]]}
    >>> trained = pl.DataFrame({"index": [0, 1, 2], "epoch": [0.5, 1.0, 2.0]})
    >>> h_score(pl.DataFrame(rows, schema_overrides=kind), trained).to_list()
    [0.5]
    """
    succeeded = right(signals)  # (N, C)
    epochs = np.arange(1, max(1, round(float(by_index(checkpoints, "epoch").max()))) + 1)
    ends = sorted({checkpoint_at(checkpoints, None, float(epoch)) for epoch in epochs})
    return pl.Series("h_score", succeeded[:, ends].mean(axis=1), dtype=pl.Float64)


def winning_ticket(h: npt.NDArray[np.float64]) -> Ticket:
    """The rows that are neither always right (H = 1: nothing left to learn) nor never (H = 0: perhaps wrong).

    The size follows from the scores; there is nothing to choose. `select(..., by="h_score", strategy="window",
    prune=ticket.prune, options={"beta": ticket.beta})` keeps the same rows.

    Parameters: `h` (N,), the H-scores, 0 to 1.

    Raises
    ------
    UserError
        every row is always or never right, so that nothing would be kept.

    Source: arXiv 2407.08887, the winning ticket subset.

    >>> ticket = winning_ticket(np.array([1.0, 1.0, 0.5, 0.0]))
    >>> ticket.prune, ticket.beta, ticket.kept.tolist()
    (0.75, 0.25, [False, False, True, False])
    """
    kept = (h > 0) & (h < 1)
    if not kept.any():
        raise UserError("every H-score is 0 or 1, so no row is left to keep; train with more --runs")
    return Ticket(float(1 - kept.mean()), float((h <= 0).mean()), kept)
