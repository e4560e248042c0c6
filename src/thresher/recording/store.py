"""The files of a recording until the training ends: records as they come, running sums as of each save.

rank-0/records-00000120.parquet    the records from optimiser step 120 on, one per row and step
rank-0/sums-00000240.npz           the running sums after 240 optimiser steps

A record holds its step, so a training that resumes from step S keeps the records before S and removes the others, which it
makes again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.errors import UserError
from thresher.run import parquet
from thresher.run.files import write

GROUP_ROWS = 8192


def rank_folder(recording: Path, rank: int) -> Path:
    return recording / f"rank-{rank}"


def rank_folders(recording: Path) -> list[Path]:
    """The folders of all processes that recorded something, by rank."""
    return sorted(recording.glob("rank-*"), key=rank_of)


def rank_of(folder: Path) -> int:
    """The rank of the process that a folder belongs to."""
    return int(folder.name.removeprefix("rank-"))


def write_records(folder: Path, columns: Mapping[str, np.ndarray]) -> None:
    """Write records sorted by row, so that some rows can be read without the others; matrices become fixed-size lists."""
    order = np.argsort(columns["row"], kind="stable")
    table = pa.table({name: _arrow(values[order]) for name, values in columns.items()})
    _write(folder / f"records-{int(columns['step'].min()):08d}.parquet", table)


def _arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values, pa.binary() if values.dtype == object else None)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def _write(place: Path, table: pa.Table) -> None:
    write(place, lambda path: pq.write_table(table, path, compression="zstd", row_group_size=GROUP_ROWS))


def sums_file(folder: Path, step: int) -> Path:
    """The file of the running sums of one process after `step` optimiser steps; 0 is the end of the training."""
    return folder / f"sums-{step:08d}.npz"


def write_sums(file: Path, arrays: Mapping[str, np.ndarray]) -> None:
    def save(path: Path) -> None:
        with path.open("wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]

    write(file, save)


def read_sums(file: Path) -> dict[str, np.ndarray]:
    with np.load(file) as found:
        return dict(found)


def remove_sums(folder: Path, but: Iterable[int]) -> None:
    """Remove the sums after all steps `but` these."""
    kept = {sums_file(folder, step) for step in but}
    for path in folder.glob("sums-*.npz"):
        if path not in kept:
            path.unlink()


def rewind(folder: Path, step: int) -> None:
    """Remove the records of one process from optimiser step `step` on.

    Raises UserError: nothing was recorded before that step: the training that is resumed was not watched, or into another
    folder.
    """
    kept = False
    for path in sorted(folder.glob("records-*.parquet")):
        table = pq.read_table(path)
        before = table.filter(pa.compute.less(table["step"], step))
        if not len(before):
            path.unlink()
        elif len(before) < len(table):
            _write(path, before)
        kept = kept or len(before) > 0
    if not kept:
        raise UserError(
            f"{folder.parent}: the training resumes at step {step}, and nothing before it was recorded here; give the"
            " `out` of the training that is resumed, or start it over"
        )


def scan_records(recording: Path) -> tuple[pl.LazyFrame, int]:
    """All records of all processes in no order, and the number of processes; the columns that all files have, and `rank`."""
    folders = rank_folders(recording)
    frames = [
        parquet.scan(path).with_columns(rank=pl.lit(rank_of(folder), pl.Int32))
        for folder in folders
        for path in sorted(folder.glob("records-*.parquet"))
    ]
    if not frames:
        raise UserError(
            f"{recording}: nothing was recorded; did the training end before its first step, or has no row a label?"
        )
    names = [frame.collect_schema().names() for frame in frames]
    shared = [name for name in names[0] if all(name in others for others in names)]
    return pl.concat([frame.select(shared) for frame in frames]), len(folders)


def remove(recording: Path) -> None:
    """Remove everything that an unfinished recording left."""
    shutil.rmtree(recording, ignore_errors=True)
