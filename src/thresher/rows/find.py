"""Find the files behind a path: a single file, a folder of shards or a glob, in natural order."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from thresher.errors import UserError
from thresher.progress import say
from thresher.rows.read.raw import COMPRESSED
from thresher.run.outputs import as_place, has_rows_of_a_run
from thresher.wording import did_you_mean, listed, shown

FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
# The formats of annotated utterances that have no columns.
ANNOTATED = (".yml", ".yaml", ".conll", ".bio", ".iob")
# The words that name a split, alone or before "set", "data" or a letter: testset, testdata, testb.
SPLITS = {
    "train": "train|training|trn",
    "held-out": "test|testing|tst|val|valid|validate|validation|dev|devel|development|eval|evaluation|heldout|holdout",
}


def find(source: str | Path) -> tuple[str, list[Path], bool]:
    """The format and the files of a path, and whether they are shards (a folder or a glob) rather than one file.

    Files whose name starts with a dot or an underscore are not shards, nor are the kept, dropped and suspect rows of a run.

    Raises UserError: no file, an unknown extension, shards of several formats, or a folder with training and held-out
    splits.
    """
    path = expanded(source)
    name = shown(path, 1000)
    if path.is_file():
        return format_of(path), [path], False
    if path.exists() and not path.is_dir():
        raise UserError(f"{name}: not a file; rows are read more than once, so write them to a file first")
    if path.is_dir():
        inside = sorted(path.iterdir())
        found = [one for one in inside if ending(one) in FORMATS] or [
            one for one in inside if ending(one) in ANNOTATED
        ]
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
    found = _without_products(name, found)
    refuse_splits(name, found)
    formats = {format_of(one): one.name for one in reversed(found)}
    if len(formats) > 1:
        raise UserError(
            f"{name}: shards of several formats ({listed(formats.values())}); give a glob of one, e.g. *{ending(found[0])}"
        )
    return next(iter(formats)), found, True


def expanded(source: str | Path) -> Path:
    """The path of a source, with ~ as the home of a user.

    Raises UserError: a URL, or what `as_place` refuses.

    >>> expanded("https://example.org/train.csv")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: https://example.org/train.csv: a URL; rows are read from local files, so download it first
    """
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(source)):
        raise UserError(f"{shown(source, 1000)}: a URL; rows are read from local files, so download it first")
    return as_place(source)


def _without_products(source: str, found: list[Path]) -> list[Path]:
    """The files without rows that runs have written, which are rows of the others; all of them if there are no others."""
    others = [path for path in found if not has_rows_of_a_run(path.absolute())]
    if not others or len(others) == len(found):
        return found
    products = [str(path) for path in found if path not in others]
    say(f"{source}: left out what runs have written: {listed(products, 3)}")
    return others


def refuse_splits(source: str, found: list[Path]) -> None:
    """Refuse files of which some are held out: trained on all, no test would be valid. Others are taken for training rows."""
    splits = {split_of(name) or "train": name for name in reversed(names_of(found))}
    if len(splits) > 1:
        both = [splits[split] for split in SPLITS]
        raise UserError(
            f"{source}: contains splits ({listed(both)}), not shards of one set; give one of them, e.g. {shown(both[0])}"
        )


def split_of(name: str) -> str | None:
    """The split that the words of a name say, a key of `SPLITS`; the last such word counts.

    >>> split_of("snli_1.0_train.jsonl"), split_of("x.dev.csv"), split_of("testData.csv"), split_of("part-0.csv")
    ('train', 'held-out', 'held-out', None)
    """
    name = re.sub(
        r"held[ _-]?out|hold[ _-]?out", "heldout", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name), flags=re.I
    )
    for word in reversed(re.findall(r"[a-z]+", name.casefold())):
        for split, words in SPLITS.items():
            if re.fullmatch(f"({words})(set|data|split|[abx])?", word):
                return split
    return None


def ending(path: Path) -> str:
    """The extension of a file in lower case, without that of a compression.

    >>> ending(Path("a/train.JSONL.gz")), ending(Path("train.tar.gz"))
    ('.jsonl', '.tar')
    """
    plain = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return plain.suffix.lower()


def format_of(path: Path) -> str:
    """The format that a file extension names.

    >>> format_of(Path("train.NDJSON")), format_of(Path("train.csv.gz"))
    ('jsonl', 'csv')
    """
    found = FORMATS.get(ending(path))
    if ending(path) in ANNOTATED:
        raise UserError(
            f"{path}: annotated utterances, which `thresher nlu` reads; prune them with `thresher nlu score`, or write them"
            " as .jsonl with `thresher nlu convert`"
        )
    if found is None or (found == "parquet" and path.suffix.lower() in COMPRESSED):
        raise UserError(
            f"{path}: unknown file extension '{path.suffix}'; use one of {listed(FORMATS)}, or a text format with .gz or .zst"
        )
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
