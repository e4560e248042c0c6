"""The run folder: its manifest, the places of its files, checksums, and the engine that runs steps on it."""

from thresher.run.run import Record, Run, RunLike, as_folder
from thresher.run.training import FIRST, Training

__all__ = ["FIRST", "Record", "Run", "RunLike", "Training", "as_folder"]
