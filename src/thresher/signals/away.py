"""Measuring on another machine: what it needs of the run folder, laid out there, and the part file that comes back."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version as installed
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from thresher.errors import UserError
from thresher.progress import track
from thresher.run import parquet
from thresher.run.files import file_digest
from thresher.run.layout import Layout
from thresher.signals.chunk import measure_chunk, measure_rows
from thresher.signals.plan import Plan
from thresher.signals.store import Store, cache_folder, fetch, open_store, put
from thresher.training.checkpoints import list_checkpoints

SLAB_CHUNKS = 64
# Another version of one of these may round otherwise, or write other bytes.
SAME = ("thresher", "torch", "transformers", "tokenizers", "numpy", "polars", "pyarrow")


@dataclass(frozen=True)
class Material:
    """What a machine needs to measure chunks of a plan: the digest of every file, by its place in the run folder.

    Without the address of a store the run folder itself is taken, which must then be on a shared file system.
    """

    store: str | None
    files: dict[str, str]


def material(plan: Plan, store: str | None) -> Material:
    """Architecture and checkpoints of a plan, uploaded where there is a store. The rows follow chunk by chunk.

    Raises
    ------
    UserError
        the store cannot be written.
    """
    architecture = (path for path in sorted(plan.run.model_folder.rglob("*")) if path.is_file())
    weights = (
        folder / name
        for folder in list_checkpoints(plan.run.checkpoints(plan.training))
        for name in ("model.safetensors", "checkpoint.json")
    )
    paths = [*architecture, *weights]
    opened = open_store(store) if store else None
    files = {}
    with track(f"upload {plan.training.name}" if store else f"read {plan.training.name}", len(paths), "files") as advance:
        for path in paths:
            files[str(path.relative_to(plan.run.folder))] = put(opened, path) if opened else file_digest(path)
            advance(1)
    return Material(store, files)


def row_sender(plan: Plan, store: str | None) -> Callable[[int], str | None]:
    """A function that has the rows of a chunk in the store and returns the digest of the object that holds them.

    Rows go in slabs of 64 chunks, each chunk a row group of its own, so that a worker reads the bytes of its chunk and no
    others. A slab is uploaded when its first chunk is handed out.
    """
    if store is None:
        return lambda chunk: None
    opened = open_store(store)
    size = SLAB_CHUNKS * plan.chunk_rows

    @cache
    def slab(index: int) -> str:
        rows = parquet.scan(plan.run.rows_file).slice(index * size, size).collect().to_arrow()
        buffer = io.BytesIO()
        pq.write_table(
            rows, buffer, row_group_size=plan.chunk_rows, compression="zstd", write_page_checksum=True
        )
        return put(opened, buffer.getvalue())

    return lambda chunk: slab(chunk // SLAB_CHUNKS)


def lay_out(things: Material, plan: Plan, folder: Path) -> None:
    """Make a folder of this machine look like the run folder, but for the rows.

    Raises
    ------
    UserError
        there is no store, and this machine does not see the run folder, or sees another one.
    """
    opened = open_store(things.store) if things.store else None
    for place, digest in things.files.items():
        there = plan.run.folder / place
        if opened is None and not (there.is_file() and file_digest(there) == digest):
            raise UserError(
                f"{there}: not there, or another one; put the run on a file system that all machines share, or give --store"
            )
        link = folder / place
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(there if opened is None else fetch(opened, digest, cache_folder()))
    if opened is None:
        rows = Layout(folder).rows_file
        rows.parent.mkdir(parents=True, exist_ok=True)
        rows.symlink_to(plan.run.rows_file)


def measure_away(things: Material, plan: Plan, chunk: int, slab: str | None, folder: Path) -> bytes:
    """Measure a chunk in a folder that was laid out, and return the bytes of its part file."""
    here = replace(plan, run=Layout(folder))
    if things.store is not None and slab is not None:
        measure_rows(here, chunk, read_chunk_rows(open_store(things.store), slab, chunk % SLAB_CHUNKS))
    else:
        measure_chunk(here, chunk)
    part = here.part(chunk)
    content = part.read_bytes()
    part.unlink()
    return content


def read_chunk_rows(store: Store, slab: str, group: int) -> pl.DataFrame:
    """One row group of a slab, its checksums verified; the rest of the slab stays where it is."""
    # Neither side reads ahead: the footer and the bytes of the group, in one request each.
    with store.fs.open(store.place(slab), "rb", cache_type="none") as file:
        slab_file = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=True)
        rows = pl.from_arrow(slab_file.read_row_group(group))
    assert isinstance(rows, pl.DataFrame)
    return rows


def versions() -> dict[str, str]:
    """The versions that must be the same on every machine."""
    return {name: installed(name) for name in SAME}


def version_fault(wanted: dict[str, str]) -> str | None:
    """What this machine has in another version than is wanted; None where nothing."""
    found = versions()
    for name, version in wanted.items():
        if found[name] != version:
            return f"has {name} {found[name]}, not {version}; install the same everywhere"
    return None
