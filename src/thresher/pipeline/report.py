"""Write the report of a run."""

from __future__ import annotations

from importlib.metadata import version as installed

from pydantic import BaseModel

from thresher.pipeline.own_files import claim, refuse_unlisted
from thresher.progress import say
from thresher.run import Run
from thresher.run.layout import REPORT
from thresher.run.run import JOB, Record
from thresher.run.steps import Facts, step


class NoSettings(BaseModel):
    """A step without settings."""


def everything(run: Run, _: NoSettings) -> dict[str, object]:
    """Every record of the run, as inputs of the page."""
    steps = (*JOB[:-1], "sweep", "how_much", "noise", "map")
    records: dict[str, Record | None] = {name: run.record(name) for name in steps}
    return {
        "thresher": installed("thresher"),
        "manifest": run.manifest.model_dump(mode="json"),
        "records": {name: [found.key, found.finished] for name, found in records.items() if found},
    }


@step(
    "report",
    inputs=everything,
    check=lambda run, settings: refuse_unlisted(run.folder, [REPORT]),
    problem=lambda run, facts: None if (run.folder / REPORT).is_file() else f"{REPORT} is missing",
)
def report(run: Run, settings: NoSettings) -> Facts:
    from thresher.report.page import write as write_page

    claim(run.folder, [REPORT])
    path = write_page(run)
    say("report: written")
    return {"report": path.name}
