"""The score table: one line per row, one column per score and per normalised score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from thresher.scores.compute import Scored, score_sources
from thresher.scores.registry import check_options
from thresher.scores.source import FrameSource
from thresher.scores.store import Store

Run = tuple[pl.DataFrame, pl.DataFrame]
Options = Mapping[str, Mapping[str, object]]
# Rows whose signals are in memory at a time.
BLOCK_ROWS = 1 << 14


def score_table(runs: Sequence[Run], options: Options | None = None) -> pl.DataFrame:
    """Every score that the runs can give, as columns `id, label, NAME, NAME_class, NAME_dataset, ...`.

    `runs` holds the signals table and the checkpoints table of each run. A score of one run is computed from run 0; a score
    of all runs is the mean over the runs that have its signals, matched by id. The rows are in the order of run 0. Scores
    whose signals are missing, or not finite for some row, are skipped; `score_runs` also reports which and why.

    Raises UserError: an unknown score, option or value; runs of different rows; no score at all can be computed.

    >>> signals = pl.DataFrame({"id": ["a", "b"], "label": [0, 0], "correct": [[True, False], [True, True]]})
    >>> score_table([(signals, pl.DataFrame())]).rows()
    [('a', 0, 1.0, 1.0, 1.0), ('b', 0, 0.0, -1.0, -1.0)]
    """
    return score_runs(runs, options)[0]


def score_runs(runs: Sequence[Run], options: Options | None = None) -> tuple[pl.DataFrame, dict[str, object]]:
    """`score_table`, and the content of `scores.json`.

    The second value is `{"scores": {NAME: {hard, normalise, runs_used, options, source, needs, cost}},
    "skipped": {NAME: reason}}`, where `runs_used` counts the runs that were averaged.

    >>> signals = pl.DataFrame({"id": ["a", "b"], "label": [0, 0], "correct": [[True, False], [True, True]]})
    >>> _, about = score_runs([(signals, pl.DataFrame())])
    >>> about["scores"]["forgetting"]["runs_used"], about["skipped"]["vog"]
    (1, "'gradient_gram' was not measured")
    """
    chosen = check_options(options)
    with TemporaryDirectory() as folder:
        scored = score_sources([FrameSource(*run) for run in runs], chosen, Store(Path(folder)), BLOCK_ROWS)
        return pl.concat(scored.blocks(), rechunk=True), report(scored)


def report(scored: Scored) -> dict[str, Any]:
    return {
        "scores": {name: scored.about[name] for name in sorted(scored.about)},
        "skipped": dict(sorted(scored.skipped.items())),
    }
