"""Diets: one file per method that says, epoch by epoch, which rows a training goes on with.

A new method is a new file here with a function under `@diet`; importing this package imports every file of the folder.
"""

from __future__ import annotations

from thresher.registry import import_files
from thresher.training.diet.moment import Moment, Portion
from thresher.training.diet.registry import check_options, diet, diets, find

__all__ = ["Moment", "Portion", "check_options", "diet", "diets", "find"]

import_files(__name__, __path__)
