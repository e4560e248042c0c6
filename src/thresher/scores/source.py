"""Where scores read signals from: a frame in memory, or files that are read block by block."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.scores.read import MissingSignal, array

# Times that a score which reads whole columns holds them: the columns, in another order, and what it computes from them.
COPIES = 3


class Source(Protocol):
    """The signals of one run: blocks of rows, always the same rows in the same order."""

    @property
    def checkpoints(self) -> pl.DataFrame:
        """The table of checkpoints."""

    @property
    def schema(self) -> Mapping[str, pl.DataType]:
        """The type of every column."""

    @property
    def rows(self) -> int:
        """The number of rows."""

    def blocks(self, columns: Collection[str], size: int) -> Iterator[pl.DataFrame]:
        """These columns of `size` rows at a time (fewer in the last block); one block of no rows if there are none."""

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The features of some rows, (n, H), without reading those of the others."""


@dataclass(frozen=True)
class FrameSource:
    """Signals that are in memory."""

    signals: pl.DataFrame
    checkpoints: pl.DataFrame

    @property
    def schema(self) -> Mapping[str, pl.DataType]:
        return self.signals.schema

    @property
    def rows(self) -> int:
        return self.signals.height

    def blocks(self, columns: Collection[str], size: int) -> Iterator[pl.DataFrame]:
        chosen = self.signals.select(columns)
        for start in range(0, max(1, self.rows), size):
            yield chosen.slice(start, size)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        return array(self.signals, "features")[rows]


def whole(source: Source, columns: Collection[str], size: int) -> pl.DataFrame:
    """These columns of all rows, those of them that there are.

    Raises MissingSignal: they would not fit into the memory that is free.
    """
    there = [name for name in columns if name in source.schema]
    if isinstance(source, FrameSource):
        return source.signals.select(there)
    if not there:
        return pl.DataFrame()
    refuse_more(source.rows * sum(bytes_of(source.schema[name]) for name in there), source.rows)
    return pl.concat(source.blocks(there, size))


def refuse_more(held: int, rows: int) -> None:
    """Refuse to hold columns of so many bytes, and what is computed from them, if that is more than the memory that is free.

    Raises MissingSignal: how much it is, and the way out.
    """
    needed, free = COPIES * held, free_memory()
    if free is not None and needed > free:
        raise MissingSignal(
            f"it needs {needed / 2**30:.1f} GiB of memory for {rows:,} rows at once, and {free / 2**30:.1f} GiB are free; score a"
            " sample of the rows"
        )


def bytes_of(kind: pl.DataType) -> int:
    """Bytes of a value of a column in memory; of a text or a list an estimate.

    >>> bytes_of(pl.Array(pl.Float32, (10, 3))), bytes_of(pl.Int32())
    (120, 4)
    """
    if isinstance(kind, pl.Array):
        count = 1
        for length in kind.shape:
            count *= length
        base = kind.inner
        while isinstance(base, pl.Array):
            base = base.inner
        return count * bytes_of(base() if isinstance(base, type) else base)
    sizes = {pl.Boolean: 1, pl.Int8: 1, pl.UInt8: 1, pl.Int16: 2, pl.Int32: 4, pl.UInt32: 4, pl.Float32: 4}
    return sizes.get(type(kind), 48 if kind.is_nested() or kind == pl.String else 8)


def free_memory() -> int | None:
    """Bytes of memory that this process may still take, by the kernel and by the limit of its container; None if unknown."""
    free = []
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")]
        limit, used = (
            Path("/sys/fs/cgroup", f"memory.{name}").read_text().strip() for name in ("max", "current")
        )
        free += [int(limit) - int(used)] if limit.isdigit() else []
    except (OSError, ValueError):
        pass
    return min(free, default=None)
