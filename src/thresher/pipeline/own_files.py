"""What thresher writes into a run folder, so that nothing else there is written over or removed."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from thresher.errors import UserError
from thresher.rows import Rows
from thresher.rows.export import check_ending
from thresher.rows.store import source_of
from thresher.rows.write_back import names_of
from thresher.run import Run
from thresher.run.files import unwritable
from thresher.run.integrity import table_problem, write_json
from thresher.run.layout import HOME, REPORT, SUSPECTS, Layout
from thresher.run.lock import LOCK
from thresher.run.manifest import FILE, written_by_run
from thresher.run.outputs import PRODUCTS, check_output

LISTING = "written.json"


def visible(folder: Path) -> list[Path]:
    """What is in a folder under a name that thresher writes beside `run.yaml`."""
    found = folder.iterdir() if folder.is_dir() else ()
    own = (REPORT, SUSPECTS)
    return sorted(path for path in found if path.name in own or path.name.split(".")[0] in PRODUCTS)


def refuse_strange(folder: Path) -> None:
    """Refuse a place that is not a folder, or a folder that is not a run and holds what a run would write over.

    A lock without a run was left by a process that was killed as it started: the files beside it are its own.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file, and a run is a folder; choose another --out")
    if Run.exists(folder):
        if not (folder / HOME).is_dir() and not written_by_run(folder / FILE):
            raise UserError(
                f"{folder}: holds a {FILE} that is not a run's (no {HOME} beside it); choose another --out"
            )
        return
    if (folder / HOME / LOCK).exists():
        return
    for path in visible(folder):
        raise UserError(f"{folder}: is not a run (no {FILE}) and holds '{path.name}'; choose another --out")


def refuse_former(run: Path, force: bool) -> None:
    """Refuse a folder with a run in it, unless it may be overwritten, or with what a run would write over."""
    if Run.exists(run) and not force:
        raise UserError(f"{run}: holds a run already; choose another out, or force=True to overwrite it")
    refuse_strange(run)


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder that cannot be written now, rather than when the first epoch ends.

    Raises UserError: the folder, or the nearest one above it that exists, takes no new file.
    """
    there = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise unwritable(folder, error) from error


def refuse_inputs_in(folder: Path, *tables: Rows | None) -> None:
    """Refuse rows that were read from a file which the run would write over."""
    written = {path.resolve() for path in (*visible(folder), folder / HOME)}
    for rows in (one for one in tables if one is not None and one.source.memory is None):
        for part in rows.source.parts:
            place = Path(part.path).resolve()
            if written & {place, *place.parents}:
                raise UserError(
                    f"{part.path}: is where a run in {folder} writes a file of its own; choose another --out"
                )


def refuse_unlisted(folder: Path, names: Iterable[str]) -> None:
    """Refuse to write over files that are in the folder of a run and that the run has not written."""
    listed = products(folder)
    for name in (name for name in names if name not in listed and (folder / name).exists()):
        raise UserError(
            f"{folder / name}: was not written by this run and would be overwritten; move it away"
        )


def claim(folder: Path, names: Iterable[str]) -> None:
    """List files as the run's own before they are written; see `refuse_unlisted`."""
    wanted = set(names)
    refuse_unlisted(folder, wanted)
    if wanted - products(folder):
        write_json(folder / HOME / LISTING, {"files": sorted(wanted | products(folder))})


def products(folder: Path) -> set[str]:
    """The names of the files beside `run.yaml` that the run has written, or was about to write when it was killed."""
    layout = Layout(folder)
    found = {REPORT} if layout.record_file("report").is_file() else set()
    for path in [layout.home / LISTING, *layout.step_folder("select").glob("*.json")]:
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            facts = json.loads(path.read_text(encoding="utf-8"))
            found |= {str(name) for name in facts.get("files", ())}
            found |= {str(facts[name]) for name in PRODUCTS if name in facts}
    return {name for name in found if Path(name).name == name}


def names_for(rows: Rows) -> tuple[str, ...]:
    """What a run of these rows writes beside `run.yaml`."""
    return (*names_of(rows.source, PRODUCTS[0]), SUSPECTS, REPORT)


def check_table_output(run: Run, out: Path | None) -> None:
    """Refuse where a table is to be written, if anywhere: a file type that is not written, or a file of the run."""
    if out is not None:
        check_ending(out)
        check_own_output(run, out)


def check_own_output(run: Run, path: Path) -> None:
    """Refuse a file to write that a run was made from, or that it has written."""
    tables = [table for table in (run.rows_file, run.test_file) if table_problem(table) is None]
    check_output(path, [Path(part.path) for table in tables for part in source_of(table).parts])


def clear(folder: Path, but: tuple[str, ...] = ()) -> None:
    """Remove what thresher wrote into a run folder, `but` some of the folders in `.thresher`; `run.yaml` goes last."""
    remove(folder / name for name in products(folder))
    home = folder / HOME
    if home.is_dir():
        remove(path for path in home.iterdir() if path.name not in (LOCK, *but))
    (folder / FILE).unlink(missing_ok=True)


def remove(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
