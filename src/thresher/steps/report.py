"""Write the page of a run folder."""

from __future__ import annotations

from importlib.metadata import version as installed
from pathlib import Path

from thresher import run_folder
from thresher.files import file_digest
from thresher.progress import say
from thresher.run_folder import RunPath, finish, lock, read_manifest, stamp, state


def report(run: RunPath, *, force: bool = False) -> Path:
    """Write the report of a run folder, one self-contained HTML page, and return its path.

    Raises
    ------
    UserError
        not a run folder, or it cannot be written.
    """
    run = Path(run)
    manifest = read_manifest(run)
    with lock(run):
        steps = {step: (stamp(run, step) or {}).get("hash") for step in run_folder.STEPS[:-1]}
        results = run / "results.json"
        read = {"results": file_digest(results) if results.is_file() else None, "manifest": manifest}
        read["map"] = (stamp(run, "map") or {}).get("hash")
        made_with = {"thresher": installed("thresher"), "steps": steps, **read}
        path = run / "report.html"
        if not force and path.is_file() and state(run, "report", made_with) == "done":
            say(f"report: already done in {run}; --force redoes it")
            return path
        from thresher.report.page import write as write_page

        written = write_page(run)
        finish(run, "report", made_with)
        say("report: written")
    return written
