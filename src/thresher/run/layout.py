"""Where the files of a run are.

RUN/run.yaml  RUN/kept.*  RUN/dropped.*  RUN/suspects.csv  RUN/report.html     what people open
RUN/.thresher/                                               what steps leave, one folder per step
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thresher.run.training import Training

HOME = ".thresher"
REPORT = "report.html"
SUSPECTS = "suspects.csv"
FeaturesOf = Literal["rows", "test", "empty"]


@dataclass(frozen=True)
class Layout:
    """The places of a run's files, in a folder that may hold none of them yet.

    >>> Layout(Path("RUN")).checkpoints(Training("run", 0)).as_posix()
    'RUN/.thresher/train/checkpoints/run-0'
    """

    folder: Path

    @property
    def home(self) -> Path:
        """The folder of what steps leave."""
        return self.folder / HOME

    def step_folder(self, step: str) -> Path:
        """The folder of one step."""
        return self.home / step

    @property
    def rows_file(self) -> Path:
        """The training rows."""
        return self.home / "rows" / "rows.parquet"

    @property
    def test_file(self) -> Path:
        """The test rows."""
        return self.home / "rows" / "test.parquet"

    @property
    def audit_file(self) -> Path:
        """What the audit of the rows found."""
        return self.home / "rows" / "audit.json"

    def features_folder(self, of: FeaturesOf = "rows") -> Path:
        """The encoder's features of the training rows, of the test rows, or of the empty input."""
        return self.home / "features" / of

    @property
    def words_file(self) -> Path:
        """The margins of the training rows by their words alone."""
        return self.home / "features" / "words.parquet"

    @property
    def token_losses_file(self) -> Path:
        """The losses of the completion tokens of each row: id, loss, loss_alone, end (in characters), a list each."""
        return self.step_folder("measure") / "token_losses.parquet"

    @property
    def model_folder(self) -> Path:
        """The architecture and the tokenizer that its trainings share."""
        return self.home / "train" / "model"

    def checkpoints(self, training: Training) -> Path:
        """The checkpoints of a training, and its `done.json`."""
        return self.home / "train" / "checkpoints" / training.name

    def evaluations(self, training: Training) -> Path:
        """The evaluations of all rows during a training."""
        return self.home / "train" / "evaluations" / training.name

    def progress(self, name: str) -> Path:
        """What a training that is under way needs to resume; `name` of a training or of a cell."""
        return self.home / "train" / "progress" / name

    def trainings(self) -> list[Training]:
        """The trainings that have checkpoints, finished or not, in order."""
        return _trainings(self.home / "train" / "checkpoints")

    def signals(self, training: Training) -> Path:
        """The measured signals of a training."""
        return self.home / "measure" / training.name

    def measured(self) -> list[Training]:
        """The trainings that have signals, in order."""
        return _trainings(self.home / "measure")

    @property
    def recording(self) -> Path:
        """What a recorder writes while someone else's training is under way."""
        return self.home / "recording"

    def selection_file(self, name: str) -> Path:
        """`id, key, kept` of a selection; its facts are beside it, with the ending .json."""
        return self.home / "select" / f"{name}.parquet"

    def comparison_file(self, selection: str) -> Path:
        """What `compare` found for a selection."""
        return self.home / "compare" / f"{selection}.json"

    def cell_file(self, key: str) -> Path:
        """The predictions and the figures of one training of a study."""
        return self.home / "cells" / f"{key}.parquet"

    @property
    def suspects_file(self) -> Path:
        """What the last list of suspects was made by, and how many of its labels are expected to be wrong."""
        return self.home / "suspects" / "list.json"

    @property
    def map_file(self) -> Path:
        """Rows on a plane."""
        return self.home / "map" / "map.parquet"

    @property
    def proxy_folder(self) -> Path:
        """The run folder of the proxy."""
        return self.home / "proxy"

    def record_file(self, step: str) -> Path:
        """Where a finished step leaves its record."""
        return self.step_folder(step) / "step.json"


def _trainings(folder: Path) -> list[Training]:
    found = (Training.parse(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
    return sorted(training for training in found if training is not None)
