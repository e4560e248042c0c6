"""Where a command may write: never over its input, nor over a file of a run, a stack or a study."""

from __future__ import annotations

import errno
from collections.abc import Iterable
from pathlib import Path

from thresher.errors import UserError
from thresher.run.layout import HOME, REPORT, SUSPECTS
from thresher.run.manifest import FILE
from thresher.wording import shown

# A folder with this file is all thresher's.
WHOLE = {"stack.yaml": "a stack", "study.json": "a study"}
# What thresher writes beside `run.yaml`; the kept and dropped rows have the ending of the input, or are folders.
OF_A_RUN = (FILE, REPORT, "nlu_rows.parquet", "nlu_scores.parquet")
PRODUCTS = ("kept", "dropped")


def as_place(given: str | Path) -> Path:
    """A path as somebody gave it, with `~` as their home.

    Raises UserError: an empty one, as a shell makes of a variable that is not set, or what `with_home` refuses.

    >>> as_place("")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: an empty path was given (a variable that is not set?); give a file or a folder
    """
    if not str(given).strip():
        raise UserError("an empty path was given (a variable that is not set?); give a file or a folder")
    return with_home(given)


def with_home(given: str | Path) -> Path:
    """A path with `~` replaced by the home of a user.

    Raises UserError: the home of a user who is not known, or a path that no file can have.

    >>> with_home("~nobody of that name/rows.csv")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: ~nobody of that name/rows.csv: there is no such user; write the path in full
    """
    try:
        path = Path(given).expanduser()
    except RuntimeError as error:
        raise UserError(f"{shown(given, 1000)}: there is no such user; write the path in full") from error
    try:
        path.exists()
        known = "\0" not in str(path)
    except OSError as error:
        known = error.errno != errno.ENAMETOOLONG
    if not known:
        raise UserError(
            f"{shown(given)}: cannot be read or written (the name is too long, or has a null character); check the path"
        )
    return path


def check_output(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Refuse a file to write that is an input, or that a run, a stack or a study has written.

    >>> check_output(Path("train.jsonl"), [Path("./train.jsonl")])
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: train.jsonl: is an input and would be overwritten; choose another --out
    >>> check_output(Path("RUN/.thresher/rows/rows.parquet"))
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: RUN/.thresher/rows/rows.parquet: is a place for files of a run; choose another --out
    """
    target = path.resolve()
    if target.is_dir():
        raise UserError(f"{path}: is a folder; give a file with --out")
    for one in inputs:
        if target == one.resolve() or (path.exists() and one.exists() and path.samefile(one)):
            raise UserError(f"{path}: is an input and would be overwritten; choose another --out")
    owner = HOME in target.parts and "a run"
    for folder in target.parents:
        owner = owner or next((what for mark, what in WHOLE.items() if (folder / mark).is_file()), False)
    owner = owner or (is_product(target) and "a run")
    if owner:
        raise UserError(f"{path}: is a place for files of {owner}; choose another --out")


def has_rows_of_a_run(path: Path) -> bool:
    """Whether a file has rows that a run has written: kept, dropped or suspect ones."""
    suspects = path.name == SUSPECTS and (path.parent / HOME).is_dir() and (path.parent / FILE).is_file()
    return suspects or is_product(path)


def is_product(path: Path) -> bool:
    """Whether a file is one that people open of a run: beside its `run.yaml`, or a shard of its kept or dropped rows.

    Not the list of suspects, which `thresher suspects RUN --out RUN/suspects.csv` writes again.
    """
    for place in (path, *path.parents):
        if (place.parent / HOME).is_dir() and (place.parent / FILE).is_file():
            return (place == path and place.name in OF_A_RUN) or place.name.split(".")[0] in PRODUCTS
    return False
