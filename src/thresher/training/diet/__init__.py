"""Diets: one file per method that says, epoch by epoch, which rows a training goes on with.

A new method is a new file here with a function under `@diet`; importing this package imports every file of the folder.
"""

from __future__ import annotations

import importlib
import pkgutil

from thresher.training.diet.moment import Moment, Portion
from thresher.training.diet.registry import check_options, diet, diets, find

__all__ = ["Moment", "Portion", "check_options", "diet", "diets", "find"]

for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
