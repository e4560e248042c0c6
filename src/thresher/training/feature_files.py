"""The features of a run on disk: vectors as a memory-mapped array, and beside it a table of the rows that they are of.

A folder holds `vectors.npy` (N, H), `rows.parquet` (`id, place, truncated`; `place` is the row of the array) and
`features.json`, which says what they were made of and holds the digests of the others. Whoever reads the vectors maps them: they
are in memory as far as they are looked at, once for all processes, and the system can take them out again.
"""

from __future__ import annotations

import errno
import mmap
import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.errors import UserError
from thresher.run import parquet
from thresher.run.integrity import file_digests, folder_problem, read_json, write_json, write_table

if TYPE_CHECKING:
    from thresher.models.frozen import Features, Vectors

VECTORS, ROWS, LISTING = "vectors.npy", "rows.parquet", "features.json"


def features_problem(folder: Path) -> str | None:
    """What is wrong with a folder of features, with the name of the file; None if nothing is."""
    return folder_problem(folder, LISTING)


def check_features(folder: Path, remedy: str) -> None:
    """Refuse features that are damaged."""
    if problem := features_problem(folder):
        raise UserError(f"{problem}; {remedy}")


def features_made_of(folder: Path) -> str | None:
    """What intact features were made of; None if they are missing or damaged."""
    return None if features_problem(folder) else str(read_json(folder / LISTING)["made_of"])


def features_digest(folder: Path) -> str:
    """The digest of the vectors as they were written."""
    return str(read_json(folder / LISTING)["files"][VECTORS])


def fill_features(
    folder: Path,
    ids: pl.Series,
    made_of: str,
    width: int,
    dtype: type[np.float32] | type[np.float16],
    fill: Callable[[Vectors, NDArray[np.bool_]], None],
) -> None:
    """Write features: `fill` gets the vectors (N, width) and the marks of truncated rows (N,) to fill in.

    Raises OSError: the disk has too little room.
    """
    values = np.lib.format.open_memmap(folder / VECTORS, "w+", dtype, (len(ids), width))
    reserve(folder / VECTORS)
    truncated = np.zeros(len(ids), np.bool_)
    fill(values, truncated)
    values.flush()
    del values
    place = pl.int_range(len(ids), dtype=pl.UInt32, eager=True)
    write_table(folder / ROWS, pl.DataFrame({"id": ids, "place": place, "truncated": truncated}))
    write_json(folder / LISTING, {"made_of": made_of, "files": file_digests(folder)})


def reserve(path: Path) -> None:
    """Take the room of a file, which may be sparse: a process that writes to a mapped page without room on the disk is killed."""
    size = path.stat().st_size
    with path.open("r+b") as handle:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(handle.fileno(), 0, size)
        elif shutil.disk_usage(path.parent).free < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def mapped_vectors(folder: Path) -> Vectors:
    """The vectors in a folder, (N, H), memory-mapped; cached per process."""
    return _opened(folder)[0]


def read_features(folder: Path) -> Features:
    """The features in a folder; cached per process."""
    # Imported here: torch takes seconds, which those who read the vectors alone need not wait for.
    from thresher.models.frozen import Features

    return Features(*_opened(folder))


def _opened(folder: Path) -> tuple[Vectors, NDArray[np.bool_]]:
    about = (folder / VECTORS).stat()
    return _read(folder, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=3)
def _read(folder: Path, changed: int, size: int) -> tuple[Vectors, NDArray[np.bool_]]:
    # Copy on write: torch does not accept read-only memory. Nobody writes.
    values: Vectors = np.load(folder / VECTORS, mmap_mode="c")
    return values, parquet.read(folder / ROWS, ["truncated"])["truncated"].to_numpy()


def vectors_column(folder: Path, places: pl.Series) -> pl.Series:
    """The vectors of the rows at some places, as a column of arrays in float32."""
    values = mapped_vectors(folder)[places.to_numpy()].astype(np.float32)
    return pl.Series("features", values, pl.Array(pl.Float32, values.shape[1]))


def forget_pages(values: NDArray[np.generic]) -> None:
    """Take the pages of a memory-mapped array out of this process; they stay in the cache of files while there is room."""
    below = values.base
    while isinstance(below, np.ndarray):
        below = below.base
    if isinstance(below, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        below.madvise(mmap.MADV_DONTNEED)
