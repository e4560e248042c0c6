"""What thresher writes into a run folder, so that nothing else there is written over or removed."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from thresher.errors import UserError
from thresher.rows import Rows
from thresher.run_folder import FOLDERS

# Files by their names and endings, and what users take home.
FILES = (
    "rows",
    "test",
    "features",
    "features-test",
    "features-empty",
    "words",
    "scores",
    "map",
    "audit",
    "results",
    "report",
)
ENDINGS = ("parquet", "original.parquet", "json", "html")
ORIGINALS = ("rows.original", "test.original")
PRODUCTS = ("kept", "dropped")


def own(run: Path) -> list[Path]:
    """What stands in a folder under a name that thresher writes there, but for `run.yaml`."""
    names = {*FOLDERS, *ORIGINALS, *(f"{name}.{ending}" for name in FILES for ending in ENDINGS)}
    found = run.iterdir() if run.is_dir() else ()
    return sorted(path for path in found if path.name in names or path.name.split(".")[0] in PRODUCTS)


def refuse_strange(run: Path, but: tuple[str, ...] = ()) -> None:
    """Refuse a place that is no folder, or one that is no run and holds what a run would write over, `but` some names.

    A lock without a run was left by one that was killed as it began: the files beside it are its own.

    Raises
    ------
    UserError
        one line that names the first of them.
    """
    if run.exists() and not run.is_dir():
        raise UserError(f"{run}: is a file, and a run is a folder; choose another --out")
    if (run / "run.yaml").is_file():
        return
    begun = (run / ".lock").exists()
    strange = [path.name for path in own(run) if path.name in FOLDERS or not begun]
    for name in (name for name in strange if name not in but):
        raise UserError(f"{run}: holds '{name}' but no run.yaml, so it is no run; choose another --out")


def refuse_inputs_in(run: Path, *tables: Rows | None) -> None:
    """Refuse rows that were read from a file which the run would write over.

    Raises
    ------
    UserError
        one line that names the file.
    """
    written = {path.resolve() for path in own(run)}
    for rows in (one for one in tables if one is not None and one.source.memory is None):
        for part in rows.source.parts:
            place = Path(part.path).resolve()
            if written & {place, *place.parents}:
                raise UserError(
                    f"{part.path}: stands where a run in {run} writes a file of its own; choose another --out"
                )


def clear(run: Path, but: tuple[str, ...] = ()) -> None:
    """Remove what thresher wrote into a run folder, `but` some names; `run.yaml` goes last, so it can be told apart."""
    remove(run / name for name in products(run))
    remove(path for path in own(run) if path.name.split(".")[0] not in PRODUCTS and path.name not in but)
    (run / "run.yaml").unlink(missing_ok=True)


def products(run: Path) -> set[str]:
    """The names of the kept and dropped rows that selections of this run have written."""
    found = set()
    for path in (run / "selections").glob("*.json"):
        with contextlib.suppress(ValueError, OSError):
            facts = json.loads(path.read_text(encoding="utf-8"))
            found |= {Path(facts[name]).name for name in PRODUCTS if name in facts}
    return found


def remove(paths: Iterable[Path]) -> None:
    """Remove files and folders that may be there."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
