"""Diets: one file per method that decides, epoch by epoch, which rows a training uses.

A new method is a new file here with a function under `@diet`; importing this package imports every file of the folder.
"""

from __future__ import annotations

from thresher.registry import import_files
from thresher.training.diets.epoch_state import EpochRows, EpochState
from thresher.training.diets.registry import check_options, diet, diets, find

__all__ = ["EpochRows", "EpochState", "check_options", "diet", "diets", "find"]

import_files(__name__, __path__)
