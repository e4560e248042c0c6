"""The list of suspects that a whole run leaves beside its kept rows."""

from __future__ import annotations

from pathlib import Path

from thresher.pipeline.own_files import claim
from thresher.run import Run
from thresher.run.integrity import read_json
from thresher.run.layout import SUSPECTS


def suspects_of_run(run: Run) -> Path:
    """Write `RUN/suspects.csv` where it is missing, or where the scores or the last list that was made are others."""
    place = run.folder / SUSPECTS
    try:
        listed = read_json(run.suspects_file)
    except (OSError, ValueError):
        listed = {}
    if listed.get("score") != run.require("score").key or not place.is_file():
        # SciPy takes a second to import, which a finished list need not wait for.
        from thresher.experiments.suspects import suspects

        claim(run.folder, [SUSPECTS])
        suspects(run, place, "auto", None, "table")
    return place
