"""Online VoG of a training: the gradients at the embeddings of each step, and their running sums until it is left out."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from thresher.recording import store
from thresher.recording.gradient_sums import GradientSums
from thresher.recording.gradients import embedding_columns
from thresher.recording.model_hooks import hook_embeddings
from thresher.recording.sketch import Signs
from thresher.recording.step import Step
from thresher.recording.trainer_hooks import TrainerHooks


class OnlineVog:
    """The sums of one training after another; `width` numbers per row in the sketch, 0 for none, and `seed` of the sketch."""

    def __init__(self, width: int, seed: int) -> None:
        self.width, self.seed = width, seed
        self.handles: list[RemovableHandle] = []
        self.sums: GradientSums | None = None

    def hook(self, model: nn.Module, hooks: TrainerHooks) -> list[RemovableHandle]:
        self.handles = hook_embeddings(model, hooks)
        return self.handles

    def start(self, rows: int) -> None:
        """Begin the sums of a training of so many rows."""
        self.sums = GradientSums(rows, self.width) if self.width else None
        self.sums_of_left: dict[Path, dict[str, np.ndarray]] = {}
        self.signs: Signs | None = None

    def resume(self, folder: Path, left: Iterable[Path], step: int) -> None:
        """Go on from the sums of a step; `left` are the folders of processes that are no longer there."""
        if self.sums is not None:
            self.sums.merge(store.read_sums(store.sums_file(folder, step)))
            self.sums_of_left = {one: store.read_sums(store.sums_file(one, step)) for one in left}

    def columns(self, step: Step, pads_right: bool) -> dict[str, Tensor]:
        """Squared norm (B,) and sketch (B, width) of each row's gradient at the embeddings; none where VoG is left out."""
        if self.sums is None:
            return {}
        assert step.embeddings.gradient is not None
        if self.signs is None:
            self.signs = Signs(step.embeddings.gradient.shape[2], self.seed)
        return embedding_columns(step, self.signs, self.width, pads_right)

    def add(self, columns: dict[str, Tensor]) -> None:
        """Move the columns that only VoG needs into the sums."""
        if self.sums is not None:
            self.sums.add(columns["row"], columns.pop("squares"), columns.pop("sketch"))

    def write(self, folder: Path, step: int) -> list[Path]:
        """Write the sums, and beside them those of processes that are no longer there; returns the folders."""
        if self.sums is None:
            return []
        sums = {folder: self.sums.arrays(), **self.sums_of_left}
        for one, arrays in sums.items():
            store.write_sums(store.sums_file(one, step), arrays)
        return list(sums)

    def leave_out(self) -> None:
        """Forget the sums, and capture no gradients any more."""
        self.sums = None
        for handle in self.handles:
            handle.remove()
