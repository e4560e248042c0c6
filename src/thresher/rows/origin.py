"""Record the files that rows were read from, and check that they are unchanged."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from thresher.errors import UserError
from thresher.rows.table import Part, Source
from thresher.run.files import digest, file_digest


def part_of(path: Path, name: str, raw: bytes, rows: int) -> Part:
    """The record of one source file with content `raw`."""
    return Part(str(path.absolute()), name, len(raw), bytes_digest(raw), rows)


def bytes_digest(raw: bytes) -> str:
    """The digest of the bytes of a file, as `file_digest` makes it."""
    return hashlib.blake2b(raw, digest_size=12).hexdigest()


def dataset_parts(folder: Path, rows: int) -> tuple[Part, ...]:
    """The data files of a saved dataset folder. They are read as one, so the first part counts all rows."""
    # state.json names the data files; the folder may also contain cache files of `datasets`.
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    files = [folder / one["filename"] for one in state["_data_files"]]
    return tuple(
        Part(str(path), path.name, path.stat().st_size, file_digest(path), rows if index == 0 else 0)
        for index, path in enumerate(files)
    )


def content_of(source: Source) -> str:
    """A digest of the files of a source that does not depend on where they are.

    >>> one = Part("/here/a.csv", "a.csv", 20, "12ab", 2)
    >>> two = Part("/there/a.csv", "a.csv", 20, "12ab", 2)
    >>> content_of(Source("csv", parts=(one,))) == content_of(Source("csv", parts=(two,)))
    True
    """
    return digest([[one.name, one.size, one.digest, one.rows] for one in source.parts])


def check_unchanged(part: Part) -> None:
    """Check that a file has not changed since its rows were read: row numbers would no longer match.

    Raises UserError: it is missing or has changed.
    """
    path = Path(part.path)
    if not path.is_file():
        raise UserError(f"{path}: missing since its rows were read; restore it, or load the rows again")
    if path.stat().st_size != part.size or file_digest(path) != part.digest:
        raise UserError(f"{path}: changed since its rows were read; restore it, or load the rows again")
