"""The measuring pass on an engine: processes of this machine write parts themselves, other machines send them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pyarrow as pa

from thresher.config import MeasureConfig
from thresher.errors import UserError
from thresher.execution.engines import place_of, run_tasks
from thresher.execution.remote_folder import RemoteFolder, fetch_rows, local_copy, share_folder, share_rows
from thresher.run import parquet
from thresher.run.files import write
from thresher.run.layout import Layout
from thresher.signals.chunk import chunk_of_rows, measure_chunk, measure_rows
from thresher.signals.plan import Plan, part_problem, write_part
from thresher.training.finished import list_checkpoints

RemoteChunk = tuple[Plan, RemoteFolder, int, str | None]


def measure_chunks(plan: Plan, chunks: Sequence[int], settings: MeasureConfig) -> Iterator[int]:
    """Measure chunks of a plan; yields the number of rows of each as its part is finished.

    Other machines send the bytes of a part file, so this process alone writes into the run folder.

    Raises UserError: the engine cannot start, a chunk failed three times, or a part arrived damaged.
    """
    if settings.engine == "local":
        for _, rows in run_tasks(measure_chunk, [(plan, chunk) for chunk in chunks], settings.workers):
            yield rows
        return
    tasks = RemoteChunks(plan, chunks, settings.store) if chunks else []
    for i, part in run_tasks(measure_remotely, tasks, settings.workers, place=place_of(settings)):
        write(plan.part(chunks[i]), part)
        if problem := part_problem(plan, chunks[i]):
            raise UserError(f"{plan.part(chunks[i])}: came back {problem}; run the same command again")
        yield plan.rows_of(chunks[i])[1]


class RemoteChunks(Sequence[RemoteChunk]):
    """The chunks as tasks for other machines. The rows of a task are uploaded when it is read."""

    def __init__(self, plan: Plan, chunks: Sequence[int], store: str | None) -> None:
        self.plan, self.chunks = replace(plan, run=Layout(plan.run.folder.absolute())), chunks
        self.folder = share_folder(plan.run.folder, model_files(plan), store)
        self.slab = share_rows(store, self.rows, plan.chunk_rows) if store else lambda chunk: None

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, i: int) -> RemoteChunk:  # type: ignore[override]
        return self.plan, self.folder, self.chunks[i], self.slab(self.chunks[i])

    def rows(self, first: int, count: int) -> pa.Table:
        return parquet.scan(self.plan.run.rows_file).slice(first, count).collect().to_arrow()


def model_files(plan: Plan) -> list[Path]:
    """The files of a run folder that a chunk is measured with: architecture, tokenizer, checkpoints."""
    architecture = (path for path in sorted(plan.run.model_folder.rglob("*")) if path.is_file())
    folders = list_checkpoints(plan.run.checkpoints(plan.training))
    names = ("model.safetensors", "checkpoint.json")
    return [*architecture, *(folder / name for folder in folders for name in names)]


def measure_remotely(plan: Plan, folder: RemoteFolder, chunk: int, slab: str | None) -> bytes:
    """Measure a chunk on another machine; returns the bytes of its part file."""
    if folder.store and slab:
        rows = pl.DataFrame(pl.from_arrow(fetch_rows(folder.store, slab, chunk)))
    else:
        rows = chunk_of_rows(plan, chunk)
    table = measure_rows(replace(plan, run=Layout(local_copy(folder))), chunk, rows)
    with TemporaryDirectory() as scratch:
        here = replace(plan, run=Layout(Path(scratch)))
        write_part(here, chunk, table)
        return here.part(chunk).read_bytes()
