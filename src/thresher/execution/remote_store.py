"""Files by the digest of their bytes, at an address that every machine reaches: s3://, gs://, file:// (fsspec)."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from thresher.errors import UserError
from thresher.run.files import file_digest

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


class Store(NamedTuple):
    """A file system and the prefix of our objects on it."""

    fs: AbstractFileSystem
    prefix: str
    address: str

    def place(self, digest: str) -> str:
        return f"{self.prefix}/{digest}"


def open_store(address: str) -> Store:
    """The store at an address; nothing is read or written yet.

    Raises UserError: an address that fsspec does not know, or whose package is not installed.

    >>> open_store("memory://rows").place("a1")
    '/rows/a1'
    >>> open_store("ftq://rows")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: --store ftq://rows: Protocol not known: ftq
    """
    from fsspec.core import url_to_fs

    try:
        fs, prefix = url_to_fs(address)
    except ImportError as error:
        remedy = 'needs s3fs; pip install "thresher[ray]"' if address.startswith("s3") else str(error)
        raise UserError(f"--store {address}: {remedy}") from error
    except ValueError as error:
        raise UserError(f"--store {address}: {str(error).splitlines()[0]}") from error
    return Store(fs, prefix.rstrip("/"), address.rstrip("/"))


def check_store(address: str) -> None:
    """Write an object to a store and remove it again.

    Raises UserError: the store does not answer or cannot be written.

    >>> check_store("memory://rows")
    """
    store = open_store(address)
    probe = store.place(f"probe-{os.getpid()}")
    try:
        store.fs.makedirs(store.prefix, exist_ok=True)
        store.fs.pipe_file(probe, b"thresher")
        store.fs.rm_file(probe)
    except Exception as error:
        raise _refused(store, error) from error


def put(store: Store, content: bytes | Path) -> str:
    """Store a file or some bytes under their digest, and return it. A complete object is not sent again.

    Raises UserError: the store cannot be written.
    """
    if isinstance(content, bytes):
        digest, size = hashlib.blake2b(content, digest_size=12).hexdigest(), len(content)
    else:
        digest, size = file_digest(content), content.stat().st_size
    place = store.place(digest)
    try:
        if store.fs.exists(place) and store.fs.size(place) == size:
            return digest
        if isinstance(content, bytes):
            store.fs.pipe_file(place, content)
        else:
            store.fs.put_file(str(content), place)
    except Exception as error:
        raise _refused(store, error) from error
    return digest


def fetch(store: Store, digest: str, folder: Path) -> Path:
    """The object as a file in a folder of this machine, fetched once by whichever process comes first.

    Raises OSError: its content does not have that digest.
    """
    place = folder / digest
    with (folder / f".{digest}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if place.is_file() and file_digest(place) == digest:
            return place
        temporary = folder / f".{digest}.tmp"
        try:
            store.fs.get_file(store.place(digest), str(temporary))
            if file_digest(temporary) != digest:
                raise OSError(f"{store.address}/{digest}: damaged; remove it and run the same command again")
            temporary.replace(place)
        finally:
            temporary.unlink(missing_ok=True)
    return place


def cache_folder() -> Path:
    """The folder of this machine for fetched objects. It is private: files of other users are never read.

    Raises UserError: another user made a folder of that name.
    """
    folder = Path(tempfile.gettempdir()) / f"thresher-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder}: belongs to another user; set TMPDIR to a folder of yours")
    return folder


def _refused(store: Store, error: Exception) -> UserError:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return UserError(f"--store {store.address}: {line}")
