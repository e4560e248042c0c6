"""How well the scores of two training runs agree, and how many runs to average until they agree well."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from thresher.errors import UserError
from thresher.scores.each_run import Found, check_rows, of_each_run
from thresher.scores.registry import OF_NO_RUN, check_options, scores
from thresher.scores.source import FrameSource
from thresher.scores.store import Store
from thresher.scores.table import BLOCK_ROWS, Options, Run

Numbers = npt.NDArray[np.float64]
LEVEL = 0.9


def stability(runs: Sequence[Run], options: Options | None = None) -> dict[str, Any]:
    """Rank correlation of each score between training runs, and how many runs to average until it is at least 0.9.

        r   = mean over the pairs a < b of runs of  Spearman(s_a, s_b)           -1 to 1, no unit
        r_k = k r / (1 + (k - 1) r)                                              Spearman-Brown
        k   = ceil( 0.9 (1 - r) / (r (1 - 0.9)) ), at least 1                    the least k with r_k >= 0.9

    with s_a the raw score of run a alone, (N,), rows of equal score at their mean rank, and r_k the expected correlation
    between the means of two sets of k runs each. `runs` holds R >= 2 pairs of signals and checkpoints, as for `score_table`.

    Returns `{"scores": {NAME: {runs, correlation, low, high, runs_needed}}, "left_out": {NAME: reason}}`: how many runs gave
    the score, r, the least and the largest correlation of a pair, and k, None where r <= 0. `left_out` holds scores
    without a correlation between runs: those that one run gives, that depend on no run, that are made from other scores, or
    that are constant. Scores whose signals are missing in every run, or that are not finite for some row, are in neither.

    Spearman-Brown is exact for Pearson's correlation and exchangeable runs; for ranks it is an estimate, and k is too small
    if most rows tie or some values are outliers (simulated: for counts that are mostly 0, k runs gave 0.83 instead of 0.9).
    Two runs are one pair, so r is then a single draw.

    Raises UserError: fewer than two runs, runs of different rows, an unknown score, option or value.

    Source: Spearman (1910), "Correlation calculated from faulty data", and Brown (1910), "Some experimental results in the
    correlation of mental abilities", both British Journal of Psychology 3.

    >>> import polars as pl
    >>> def run(*correct):
    ...     return pl.DataFrame({"id": ["a", "b", "c"], "label": [0, 0, 0], "correct": correct}), pl.DataFrame()
    >>> always, once, twice = [True] * 5, [True, False] + [True] * 3, [True, False, True, False, True]
    >>> stability([run(always, once, twice), run(once, always, twice)])["scores"]
    {'forgetting': {'runs': 2, 'correlation': 0.5, 'low': 0.5, 'high': 0.5, 'runs_needed': 9}}
    """
    chosen = check_options(options)
    sources = [FrameSource(*run) for run in runs]
    rows = check_rows(sources, BLOCK_ROWS)
    if len(runs) < 2:
        raise UserError("stability is between training runs, and there is one; train with --runs 2 or more")
    entries = [entry for entry in scores().values() if entry.reads != "scores"]
    with TemporaryDirectory() as folder:
        found = of_each_run(sources, rows, entries, chosen, Store(Path(folder)), BLOCK_ROWS, every_run=True)
        return agreement(found, sources[0].schema)


def agreement(found: Found, columns: Container[str]) -> dict[str, Any]:
    """`stability` of scores that were computed in every run; `columns` are those of the signals of run 0."""
    measured: dict[str, dict[str, Any]] = {}
    left_out: dict[str, str] = {}
    for name, entry in scores().items():
        if any(one not in columns for one in OF_NO_RUN.intersection(entry.needs)):
            continue
        if entry.reads == "scores":
            left_out[name] = "made from other scores"
        elif entry.of_no_run:
            left_out[name] = "does not depend on a training"
        elif runs := found.runs.get(name, []):
            reason = _why_none(found, name, runs)
            if reason is None:
                measured[name] = between(np.stack([found.of_run(name, run) for run in runs]))
            elif reason:
                left_out[name] = reason
    return {"scores": measured, "left_out": left_out}


def between(values: Numbers) -> dict[str, Any]:
    """The entry of `stability` for one score, from its values by run, (R, N).

    >>> found = between(np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [2.0, 1.0, 3.0]]))
    >>> round(found["correlation"], 3), found["low"], found["high"], found["runs_needed"]
    (0.667, 0.5, 1.0, 5)
    """
    pairs = rank_correlations(values)
    mean = float(pairs.mean())
    return {
        "runs": len(values),
        "correlation": mean,
        "low": float(pairs.min()),
        "high": float(pairs.max()),
        "runs_needed": runs_needed(mean),
    }


def rank_correlations(values: Numbers) -> Numbers:
    """Spearman's rank correlation of each pair of runs, (R, N) to (R (R - 1) / 2,); no run may be constant.

    >>> rank_correlations(np.array([[1.0, 2.0, 3.0], [10.0, 30.0, 20.0]]))
    array([0.5])
    """
    rows = values.shape[1]
    centred = np.empty(values.shape)  # (R, N)
    for run, own in enumerate(values):
        # Twice the centred ranks are whole numbers: up to 200,000 rows their sums are exact, whatever the order of the rows.
        centred[run] = 2 * rankdata(own) - (rows + 1)
    products = centred @ centred.T  # (R, R)
    squares = np.diag(products)
    found = products / np.sqrt(np.outer(squares, squares))
    return np.clip(found[np.triu_indices(len(values), 1)], -1.0, 1.0)


def runs_needed(correlation: float) -> int | None:
    """How many runs to average until the means of two such sets correlate at 0.9 or more; None if no number suffices.

    >>> runs_needed(0.95), runs_needed(0.9), runs_needed(0.5), runs_needed(0.0)
    (1, 1, 9, None)
    """
    if correlation <= 0:
        return None
    exact = LEVEL * (1 - correlation) / (correlation * (1 - LEVEL))
    # 0.9 is not a binary fraction: whole numbers come out slightly too large.
    return max(1, math.ceil(exact * (1 - 1e-12)))


def _why_none(found: Found, name: str, runs: Sequence[int]) -> str | None:
    """Why a score has no correlation between runs, "" if it is not finite for some row; None if it has one."""
    first = found.of_run(name, runs[0])
    constant, same = np.ptp(first) == 0, True
    if not np.isfinite(first).all():
        return ""
    for run in runs[1:]:
        values = found.of_run(name, run)
        if not np.isfinite(values).all():
            return ""
        constant = constant or np.ptp(values) == 0
        same = same and bool((values == first).all())
    if len(runs) == 1:
        return "measured in one run only"
    if constant:
        return "the same for every row of a run"
    return "the same in every run" if same else None
