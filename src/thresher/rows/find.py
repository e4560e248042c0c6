"""Find the files behind a path: a single file, a folder of shards or a glob, in natural order."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from thresher.errors import UserError
from thresher.wording import did_you_mean, listed, shown

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
_TRAIN = ("train", "training")
_HELD_OUT = ("test", "testing", "val", "valid", "validation", "dev", "devel", "eval")


def find(source: str | Path) -> tuple[str, list[Path], bool]:
    """The format and the files of a path, and whether they are shards (a folder or a glob) rather than one file.

    Files whose name starts with a dot or an underscore are not shards.

    Raises
    ------
    UserError
        no file, an unknown extension, shards of several formats, or a folder with training and held-out splits.
    """
    path = Path(source).expanduser()
    name = shown(path, 1000)
    if path.is_file():
        return format_of(path), [path], False
    if path.is_dir():
        found = [one for one in path.iterdir() if one.suffix.lower() in FORMATS]
        missing = f"no {listed(FORMATS)} file in this folder; give a file or a folder of shards"
    elif glob.has_magic(str(path)):
        # Path.glob refuses absolute patterns.
        found = list(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207
        missing = "no file matches; check the pattern and the folder"
    else:
        beside = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        raise UserError(f"{name}: no such file{did_you_mean(path.name, beside) or '; check the path'}")
    found = sorted((one for one in found if one.is_file() and one.name[0] not in "._"), key=natural)
    if not found:
        raise UserError(f"{name}: {missing}")
    if path.is_dir():
        _refuse_splits(path, found)
    formats = {format_of(one): one.name for one in reversed(found)}
    if len(formats) > 1:
        raise UserError(
            f"{name}: shards of several formats ({listed(formats.values())}); give a glob of one, e.g. *{found[0].suffix}"
        )
    return next(iter(formats)), found, True


def _refuse_splits(folder: Path, found: list[Path]) -> None:
    """Refuse a folder that holds both a training and a held-out split: trained on both, no test would be valid."""
    words = {re.split(r"[^a-z]", one.name.casefold())[0]: one.name for one in reversed(found)}
    train, held_out = (
        next((words[word] for word in some if word in words), None) for some in (_TRAIN, _HELD_OUT)
    )
    if train and held_out:
        raise UserError(
            f"{shown(folder, 1000)}: contains splits ({listed([train, held_out])}), not shards of one set; give one of"
            f" them, e.g. {shown(train)}"
        )


def format_of(path: Path) -> str:
    """The format that a file extension names.

    >>> format_of(Path("train.NDJSON"))
    'jsonl'
    """
    found = FORMATS.get(path.suffix.lower())
    if found is None:
        raise UserError(f"{path}: unknown file extension '{path.suffix}'; use one of {listed(FORMATS)}")
    return found


def natural(path: Path) -> list[tuple[bool, int, str]]:
    """A sort key that compares digits as numbers.

    >>> [one.name for one in sorted([Path("part-10.csv"), Path("part-9.csv")], key=natural)]
    ['part-9.csv', 'part-10.csv']
    """
    pieces = re.split(r"([0-9]+)", str(path))
    return [(piece.isdigit(), int(piece) if piece.isdigit() else 0, piece) for piece in pieces]


def names_of(paths: list[Path]) -> list[str]:
    """The paths of shards relative to their common folder.

    >>> names_of([Path("/data/a/part-0.csv"), Path("/data/b/part-0.csv")])
    ['a/part-0.csv', 'b/part-0.csv']
    """
    folder = os.path.commonpath([path.parent for path in paths])
    return [path.relative_to(folder).as_posix() for path in paths]
