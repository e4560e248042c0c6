"""Selection: every strategy gives each row a key, and the rows with the largest keys are kept.

A new strategy is a new file here with a function under `@strategy`; importing this package imports every file
of the folder, so the command line, the configuration and the tests find it in the registry.
"""

from __future__ import annotations

import importlib
import pkgutil

from thresher.selection.from_table import select_from_table
from thresher.selection.in_memory import select
from thresher.selection.registry import (
    Spread,
    Strategy,
    check_options,
    find,
    parse_options,
    strategies,
    strategy,
)
from thresher.selection.row_hash import hash_ids, uniform

__all__ = [
    "Spread",
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

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
