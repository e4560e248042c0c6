"""The files behind rows: as they were when read, and whether they still are."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from thresher.errors import UserError
from thresher.rows.table import Part, Source
from thresher.run.files import digest, file_digest


def part_of(path: Path, name: str, raw: bytes, rows: int) -> Part:
    """One file of a source."""
    return Part(str(path.absolute()), name, len(raw), hashlib.blake2b(raw, digest_size=12).hexdigest(), rows)


def dataset_parts(folder: Path, rows: int) -> tuple[Part, ...]:
    """The data files of a saved dataset folder. They are read together, so the first one counts all rows."""
    # Beside its data a dataset may have cached what was made of it.
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    files = [folder / one["filename"] for one in state["_data_files"]]
    return tuple(
        Part(str(path), path.name, path.stat().st_size, file_digest(path), rows if index == 0 else 0)
        for index, path in enumerate(files)
    )


def content_of(source: Source) -> str:
    """A digest of the files of a source, wherever they stand.

    >>> one = Part("/here/a.csv", "a.csv", 20, "12ab", 2)
    >>> two = Part("/there/a.csv", "a.csv", 20, "12ab", 2)
    >>> content_of(Source("csv", parts=(one,))) == content_of(Source("csv", parts=(two,)))
    True
    """
    return digest([[one.name, one.size, one.digest, one.rows] for one in source.parts])


def check_unchanged(part: Part) -> None:
    """The file is what it was when the rows were read: row numbers mean nothing otherwise.

    Raises
    ------
    UserError
        it is gone or has changed.
    """
    path = Path(part.path)
    if not path.is_file():
        raise UserError(f"{path}: gone since its rows were read; put it back, or load the rows anew")
    if path.stat().st_size != part.size or file_digest(path) != part.digest:
        raise UserError(f"{path}: changed since its rows were read; put it back, or load the rows anew")
