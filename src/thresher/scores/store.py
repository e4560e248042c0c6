"""Columns of numbers in files, written block by block: what is computed of many rows and does not stay in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Store:
    """A folder of columns of float64, one file each.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     store = Store(Path(folder))
    ...     store.append("aum", np.array([1.0, 2.0]))
    ...     store.append("aum", np.array([3.0]))
    ...     store.read("aum").tolist(), store.read("aum", 1, 1).tolist()
    ([1.0, 2.0, 3.0], [2.0])
    """

    folder: Path

    def append(self, name: str, values: Numbers) -> None:
        with self._file(name).open("ab") as file:
            file.write(np.ascontiguousarray(values, dtype=np.float64).data)

    def put(self, name: str, values: Numbers) -> None:
        self.remove(name)
        self.append(name, values)

    def read(self, name: str, start: int = 0, count: int = -1) -> Numbers:
        """`count` values of a column from `start` on; all by default."""
        return np.fromfile(self._file(name), np.float64, count, offset=8 * start)

    def remove(self, name: str) -> None:
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        # A name of a score may hold any character.
        return self.folder / f"{name.encode().hex()}.f64"
