"""One process at a time on a run folder, which first removes what killed processes left half written."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from collections.abc import Iterator
from pathlib import Path

from thresher.errors import UserError
from thresher.run.files import TEMPORARY, unwritable
from thresher.run.layout import HOME

LOCK = "lock"


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made if need be; a second process on it gets an error.

    A folder that was made here and that nothing was written to is removed again.

    Raises UserError: another process holds it, or it cannot be written.
    """
    new, home = not folder.exists(), folder / HOME
    new_home = not home.exists()
    try:
        home.mkdir(parents=True, exist_ok=True)
        handle = (home / LOCK).open("a+")
    except OSError as error:
        raise unwritable(folder, error) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"{folder}: another thresher process works on this folder; wait for it to end"
            ) from error
        remove_temporary(folder)
        try:
            yield
        finally:
            if new_home and [path.name for path in home.iterdir()] == [LOCK]:
                shutil.rmtree(folder if new and [*folder.iterdir()] == [home] else home)


def remove_temporary(folder: Path) -> None:
    """Remove the temporary files and folders that killed processes left; for the process that holds the lock."""
    for path in [*folder.iterdir(), *(folder / HOME).rglob("*.tmp")]:
        if not TEMPORARY.fullmatch(path.name):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
