"""Engines: where the chunks of a plan are measured. The function and the chunks are the same, and so are the bytes.

A new engine is a new file here with a function under `@engine`; importing this package imports every file of the folder,
so that `measure.engine` finds it by its name.
"""

from __future__ import annotations

from thresher.registry import import_files
from thresher.signals.engines.registry import check_engine, engine, engines, find

__all__ = ["check_engine", "engine", "engines", "find"]

import_files(__name__, __path__)
