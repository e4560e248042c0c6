"""Selection: a strategy gives each row a key, and the rows with the largest keys are kept.

To add a strategy, add one file here with a function under `@strategy`. Importing this package imports every file in it, so
the command line, the configuration and the tests find the strategy in the registry.
"""

from __future__ import annotations

from thresher.registry import import_files
from thresher.row_hash import hash_ids, uniform
from thresher.selection.candidates import Candidates, Keys
from thresher.selection.from_table import select_from_table
from thresher.selection.in_memory import select
from thresher.selection.registry import (
    Strategy,
    check_options,
    find,
    parse_options,
    strategies,
    strategy,
)

__all__ = [
    "Candidates",
    "Keys",
    "Strategy",
    "check_options",
    "find",
    "hash_ids",
    "parse_options",
    "select",
    "select_from_table",
    "strategies",
    "strategy",
    "uniform",
]

import_files(__name__, __path__)
