"""Engines: where the chunks of a plan are measured. The function and the chunks are the same, and so are the bytes.

A new engine is a new file here with a function under `@engine`; importing this package imports every file of the folder,
so that `measure.engine` finds it by its name.
"""

from __future__ import annotations

import importlib
import pkgutil

from thresher.signals.engines.registry import check_engine, engine, engines, find

__all__ = ["check_engine", "engine", "engines", "find"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
