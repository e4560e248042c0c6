"""Atomic writing of files and folders, and hashes of their content.

Every file is written under a temporary name and renamed, so a killed process leaves either the old file or the new.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError

from thresher.errors import UserError

TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


def write(path: Path, content: bytes | str | Callable[[Path], object]) -> None:
    """Write a file atomically: it is complete, or not there.

    `content` is the content, or a function that writes to the temporary path it is given.

    Raises UserError: the disk is full or the folder cannot be written; the former file is untouched.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder) / "a.txt", "kept")
    ...     (Path(folder) / "a.txt").read_text()
    'kept'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(temporary)
            temporary.chmod(file_mode())
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except Exception as error:
        if not failed_to_write(error):
            raise
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def file_mode() -> int:
    """The mode of a new file by the umask; safetensors 0.8 writes files that only their owner may read.

    >>> file_mode() & 0o111
    0
    """
    umask = os.umask(0o077)
    os.umask(umask)
    return 0o666 & ~umask


def same_file(source: Path, path: Path) -> bool:
    """Whether a file exists and has the content of another one."""
    return path.is_file() and file_digest(path) == file_digest(source)


def copy_file(source: Path, path: Path) -> None:
    """Write a copy of a file, unless it has the same content already."""
    if not same_file(source, path):
        write(path, lambda temporary: shutil.copyfile(source, temporary))


def write_folder(path: Path, fill: Callable[[Path], object]) -> None:
    """Like `write`, for a folder: `fill` writes into a temporary folder, which then takes the name.

    A former folder is renamed first: a process killed in between leaves no folder, and never half of one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    former = path.with_name(f".{path.name}-former.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        fill(temporary)
        for file in (one for one in temporary.rglob("*") if one.is_file()):
            file.chmod(file_mode())
        if path.exists():
            path.replace(former)
        temporary.replace(path)
    except Exception as error:
        if former.exists() and not path.exists():
            former.replace(path)
        if not failed_to_write(error):
            raise
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def failed_to_write(error: Exception) -> bool:
    """Whether an error is one of writing a file: polars and torch have their own classes for it.

    >>> failed_to_write(OSError(28, "No space left on device")), failed_to_write(RuntimeError("shapes differ"))
    (True, False)
    """
    return isinstance(error, OSError | SafetensorError) or any(
        sign in str(error) for sign in ("(os error ", "inline_container.cc")
    )


def unwritable(path: Path, error: Exception) -> UserError:
    """The one line for a disk that is full or a place that cannot be written."""
    full = getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in str(error)
    # torch does not say why it could not write.
    if full or ("inline_container.cc" in str(error) and _free(path) < 1 << 20):
        return UserError(f"{path}: the disk is full; free some space and run the same command again")
    if isinstance(error, IsADirectoryError):
        return UserError(f"{path}: a folder in place of a file; remove it, and run the same command again")
    reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
    return UserError(f"{path}: cannot be written ({reason}); choose another --out")


def _free(path: Path) -> int:
    there = next(one for one in (path, *path.absolute().parents) if one.exists())
    return shutil.disk_usage(there).free


def as_json(value: object) -> str:
    """Readable JSON, any script as it is."""
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def digest(value: object) -> str:
    """A short hash of anything JSON can hold; equal values give equal hashes whatever the key order.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def file_digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=12)).hexdigest()
