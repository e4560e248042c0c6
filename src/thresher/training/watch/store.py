"""The files that a watched training keeps until it ends: visits as they come, running sums as they stood at each save.

RUN/watch/rank-0/visits-00000120.parquet    the visits from optimiser step 120 on, a line each
RUN/watch/rank-0/sums-00000240.npz          the running sums after 240 optimiser steps

A visit knows its step, so a training that resumes from step S keeps the visits before S and forgets the others, which it
makes again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.errors import UserError
from thresher.run import parquet
from thresher.run.files import write

GROUP_ROWS = 8192


def rank_folder(run: Path, rank: int) -> Path:
    """The folder of one process."""
    return run / "watch" / f"rank-{rank}"


def rank_folders(run: Path) -> list[Path]:
    """The folders of all processes that recorded something, in the order of their numbers."""
    return sorted((run / "watch").glob("rank-*"), key=rank_of)


def rank_of(folder: Path) -> int:
    """The number of the process that a folder is of."""
    return int(folder.name[5:])


def write_visits(folder: Path, columns: dict[str, np.ndarray]) -> None:
    """Write visits sorted by row, so that some rows can be read without the others; matrices become fixed-size lists."""
    order = np.argsort(columns["row"], kind="stable")
    table = pa.table({name: _arrow(values[order]) for name, values in columns.items()})
    place = folder / f"visits-{int(columns['step'].min()):08d}.parquet"
    write(place, lambda path: pq.write_table(table, path, compression="zstd", row_group_size=GROUP_ROWS))


def _arrow(values: np.ndarray) -> pa.Array:
    if values.ndim == 1:
        return pa.array(values)
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])


def write_sums(folder: Path, step: int, arrays: dict[str, np.ndarray]) -> None:
    """Keep the running sums as they stand after `step` optimiser steps."""

    def save(path: Path) -> None:
        with path.open("wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]

    write(folder / f"sums-{step:08d}.npz", save)


def read_sums(folder: Path, step: int) -> dict[str, np.ndarray]:
    """The running sums as they stood after `step` optimiser steps."""
    with np.load(folder / f"sums-{step:08d}.npz") as found:
        return dict(found)


def forget_sums(folder: Path, keep: Iterable[int]) -> None:
    """Remove the sums of other steps than these."""
    kept = {f"sums-{step:08d}.npz" for step in keep}
    for path in folder.glob("sums-*.npz"):
        if path.name not in kept:
            path.unlink()


def rewind(folder: Path, step: int) -> None:
    """Forget the visits that one process recorded from optimiser step `step` on.

    Raises
    ------
    UserError
        nothing was recorded before that step: the training that is resumed was not watched, or into another folder.
    """
    kept = False
    for path in sorted(folder.glob("visits-*.parquet")):
        steps = parquet.read(path, columns=["step"])["step"]
        if steps.max() < step:  # type: ignore[operator]
            kept = True
        elif steps.min() >= step:  # type: ignore[operator]
            path.unlink()
        else:
            table = pq.read_table(path)
            table = table.filter(pa.compute.less(table["step"], step))
            write(path, lambda place, table=table: pq.write_table(table, place, row_group_size=GROUP_ROWS))  # type: ignore[misc]
            kept = True
    if not kept:
        raise UserError(
            f"{folder.parent.parent}: the training resumes at step {step}, and no visit before it was recorded here; give the"
            " `out` of the training that is resumed, or start it anew"
        )


def scan_visits(run: Path) -> tuple[pl.LazyFrame, int]:
    """All visits of all processes, in no order, and the number of processes; the columns that all files have, and `rank`."""
    folders = rank_folders(run)
    frames = [
        parquet.scan(path).with_columns(rank=pl.lit(rank_of(folder), pl.Int32))
        for folder in folders
        for path in sorted(folder.glob("visits-*.parquet"))
    ]
    if not frames:
        raise UserError(f"{run}: no visit was recorded; was the training cut before its first step?")
    names = [frame.collect_schema().names() for frame in frames]
    shared = [name for name in names[0] if all(name in others for others in names)]
    return pl.concat([frame.select(shared) for frame in frames]), len(folders)


def sizes(run: Path) -> dict[str, int]:
    """The files of a watched training and their sizes."""
    return {str(path.relative_to(run)): path.stat().st_size for path in sorted((run / "watch").glob("*/*"))}


def remove(run: Path) -> None:
    """Remove what only an unfinished training needs."""
    shutil.rmtree(run / "watch", ignore_errors=True)
