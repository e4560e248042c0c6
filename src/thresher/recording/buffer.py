"""Records between two writes: on the device for some steps, then in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from thresher.recording import store
from thresher.recording.completion_signals import packed
from thresher.recording.step import IGNORED

# Steps between two copies from the device: waiting for it at every step would slow a GPU down.
STEPS_PER_COPY = 64


class RecordBuffer:
    """The records since the last `write`; `on_copy` may remove columns as they come from the device.

    Rows of an ignored label, as in a set that is labelled in part, leave no record, and neither do rows without a completion
    token. Nor do rows whose logits are not finite, as those of a training that diverges; `not_finite` counts them. Truth values
    of tokens are kept as bits.
    """

    def __init__(self, on_copy: Callable[[dict[str, Tensor]], None]) -> None:
        self.on_copy = on_copy
        self.on_device: list[dict[str, Tensor]] = []
        self.in_memory: list[dict[str, np.ndarray]] = []
        self.not_finite = 0

    def add(self, columns: dict[str, Tensor]) -> None:
        """Add the records of one step, columns of B values each."""
        self.on_device.append(columns)
        if len(self.on_device) >= STEPS_PER_COPY:
            self.copy()

    def copy(self) -> None:
        if not self.on_device:
            return
        names = [name for name in self.on_device[0] if all(name in step for step in self.on_device)]
        columns = {name: _together([step[name] for step in self.on_device]).cpu() for name in names}
        self.on_device = []
        if "label" in columns or "n_completion" in columns:
            labelled = columns["label"] != IGNORED if "label" in columns else columns["n_completion"] > 0
            columns = {name: values[labelled] for name, values in columns.items()}
        told = columns["logits" if "logits" in columns else "loss"]
        finite = told.isfinite().flatten(1).all(1) if told.dim() > 1 else told.isfinite()
        if not finite.all():
            self.not_finite += int((~finite).sum())
            columns = {name: values[finite] for name, values in columns.items()}
        self.on_copy(columns)
        # Rows, labels and lengths come as 64 bits, and a whole epoch of them stays in memory.
        narrow = {name: v.int() if v.dtype == torch.int64 else v for name, v in columns.items()}
        arrays = {name: values.numpy() for name, values in narrow.items()}
        if "token_right" in arrays:
            arrays["token_right"] = packed(arrays["token_right"], arrays["n_completion"])
        self.in_memory.append(arrays)

    def drop(self, *names: str) -> None:
        self.on_device = [{n: v for n, v in step.items() if n not in names} for step in self.on_device]
        self.in_memory = [{n: v for n, v in part.items() if n not in names} for part in self.in_memory]

    def write(self, folder: Path, before: Callable[[], None] | None) -> None:
        """Move all records to a file of this folder, after `before`; they stay in memory where that fails."""
        self.copy()
        parts, self.in_memory = self.in_memory, []
        names = [name for name in (parts[0] if parts else ()) if all(name in part for part in parts)]
        columns = {name: np.concatenate([part[name] for part in parts]) for name in names}
        if not columns or not len(columns["row"]):
            return
        try:
            if before is not None:
                before()
            store.write_records(folder, columns)
        except BaseException:
            self.in_memory.insert(0, columns)
            raise


def _together(parts: list[Tensor]) -> Tensor:
    """Parts of a column below each other; truth values of tokens (B, L) are filled up to the widest part."""
    if parts[0].dtype == torch.bool and parts[0].dim() == 2:
        width = max(part.shape[1] for part in parts)
        parts = [torch.nn.functional.pad(part, (0, width - part.shape[1])) for part in parts]
    return torch.cat(parts)
