"""Scores: one file per score, each a function from the signals table to a column.

To add a score, add one file here with a function under `@score`. Importing this package imports every file in it, so the
command line, the configuration, the report and the tests find the score in the registry.
"""

from __future__ import annotations

from thresher.registry import import_files
from thresher.scores.columns import column, columns_of, first_of, hard_end
from thresher.scores.normalise import class_norm, dataset_norm
from thresher.scores.read import MissingSignal
from thresher.scores.registry import Score, check_options, find, parse_options, score, scores
from thresher.scores.stability import stability
from thresher.scores.table import score_runs, score_table

__all__ = [
    "MissingSignal",
    "Score",
    "check_options",
    "class_norm",
    "column",
    "columns_of",
    "dataset_norm",
    "find",
    "first_of",
    "hard_end",
    "parse_options",
    "score",
    "score_runs",
    "score_table",
    "scores",
    "stability",
]

import_files(__name__, __path__)
