"""Which rows of a fine-tuning set can your language model do without? Scored, pruned, and proved by retraining.

>>> import thresher as th
>>> sorted(th.__all__)[:4]
['Run', 'UserError', '__version__', 'be_quiet']
"""

# The names of thresher.api reach a type checker by a star import, so that they are listed once.
# ruff: noqa: F403, F405
from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import version as _installed
from types import ModuleType
from typing import TYPE_CHECKING, Any

from thresher.errors import UserError

if TYPE_CHECKING:
    from thresher.api import *
    from thresher.run import Run

__version__ = _installed("thresher")
__all__ = [
    "Run",
    "UserError",
    "__version__",
    "be_quiet",
    "compare",
    "explain",
    "finish_recording",
    "how_much",
    "load",
    "load_texts",
    "map_rows",
    "measure",
    "noise",
    "plan",
    "prune_while_training",
    "record",
    "report",
    "run",
    "score",
    "select",
    "suspects",
    "sweep",
    "tokens",
    "train",
    "watch",
]


def __getattr__(name: str) -> Any:
    """The steps, imported on first use: the import of the package itself takes no time."""
    if name == "Run":
        return import_module("thresher.run.run").Run
    if name in __all__:
        return getattr(import_module("thresher.api"), name)
    raise AttributeError(f"module 'thresher' has no attribute '{name}'")


class _Package(ModuleType):
    """Keeps `thresher.report` and `thresher.run` functions: importing their packages would put these in their place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in ("report", "run") and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
