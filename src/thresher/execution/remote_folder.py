"""Files of a folder, and rows of a table, as other machines see them: on a shared file system or through a remote store."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from thresher.errors import UserError
from thresher.execution.remote_store import cache_folder, fetch, open_store, put
from thresher.execution.remote_worker import has_content
from thresher.progress import track
from thresher.run.files import digest as digest_of
from thresher.run.files import file_digest

SLAB_CHUNKS = 64


@dataclass(frozen=True)
class RemoteFolder:
    """Some files of a folder: pairs of path in the folder and digest.

    Without the address of a store, every machine must see the folder itself.
    """

    folder: Path
    store: str | None
    files: tuple[tuple[str, str], ...]


def share_folder(folder: Path, paths: Sequence[Path], store: str | None) -> RemoteFolder:
    """Offer files of a folder to other machines; uploads them where there is a store.

    Raises UserError: the store cannot be written.
    """
    opened = open_store(store) if store else None
    files = []
    with track("upload" if store else "read", len(paths), "files") as advance:
        for path in paths:
            files.append((str(path.relative_to(folder)), put(opened, path) if opened else file_digest(path)))
            advance(1)
    return RemoteFolder(folder.absolute(), store, tuple(files))


@cache
def local_copy(remote: RemoteFolder) -> Path:
    """A folder of this machine with the files of a remote folder: fetched from its store, or, without one, the folder itself.

    Raises UserError: there is no store, and this machine does not see the folder, or sees another one.
    """
    if not remote.store:
        for place, digest in remote.files:
            if not has_content(remote.folder / place, digest):
                raise UserError(
                    f"{remote.folder / place}: missing, or another one; "
                    "put the run on a file system that all machines share, or give --store"
                )
        return remote.folder
    store, objects = open_store(remote.store), cache_folder()
    # Links to fetched objects. All processes of this machine make the same ones.
    copy = objects / f"folder-{digest_of(remote.files)}"
    for place, digest in remote.files:
        (copy / place).parent.mkdir(parents=True, exist_ok=True)
        target = fetch(store, digest, objects)
        with contextlib.suppress(FileExistsError):
            (copy / place).symlink_to(target)
    return copy


def share_rows(store: str, rows: Callable[[int, int], pa.Table], chunk_rows: int) -> Callable[[int], str]:
    """A function that uploads the rows of a chunk and returns the digest of the slab (an object of the store) that holds them.

    A slab is a Parquet file of 64 chunks, each a row group, so a worker reads the bytes of its chunk alone. It is uploaded
    when its first chunk is asked for. `rows(first, count)` reads rows of the table.
    """
    opened, size = open_store(store), SLAB_CHUNKS * chunk_rows

    @cache
    def slab(index: int) -> str:
        table, buffer = rows(index * size, size), io.BytesIO()
        pq.write_table(table, buffer, row_group_size=chunk_rows, compression="zstd", write_page_checksum=True)
        return put(opened, buffer.getvalue())

    return lambda chunk: slab(chunk // SLAB_CHUNKS)


def fetch_rows(store: str, slab: str, chunk: int) -> pa.Table:
    """The rows of a chunk, their checksums verified. No other rows are read.

    Raises OSError: the slab is damaged.
    """
    opened = open_store(store)
    # Neither side reads ahead: the footer and the bytes of the group, in one request each.
    with opened.fs.open(opened.place(slab), "rb", cache_type="none") as file:
        parquet = pq.ParquetFile(file, page_checksum_verification=True, pre_buffer=True)
        return parquet.read_row_group(chunk % SLAB_CHUNKS)
