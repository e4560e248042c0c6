"""The HTML page of a study folder."""

from __future__ import annotations

from functools import partial
from importlib.metadata import version as installed
from pathlib import Path

import polars as pl
from markupsafe import Markup

from thresher.errors import UserError
from thresher.nlu.page import figures
from thresher.nlu.study.facts import StudyFacts, StudyResults
from thresher.report.format import duration, interval, percent
from thresher.report.page import TEMPLATE as REPORT_TEMPLATE
from thresher.report.page import page_environment
from thresher.run import files
from thresher.run.integrity import read_facts, read_table
from thresher.run.outputs import as_place

TEMPLATE = Path(__file__).with_name("template")
AGAIN = "the `thresher nlu study` command that made it makes it again"


def write_page(study: str | Path) -> Path:
    """Write STUDY/nlu.html, one page with everything inside, and return its path.

    Reads study.json, results.json and scores.parquet. The page has no script and loads nothing; texts from the data are
    escaped, and their control characters made visible.

    Raises
    ------
    UserError
        not a study folder, one without results yet, a damaged file, or a place that cannot be written.
    """
    folder = as_place(study)
    if not (folder / "study.json").is_file():
        raise UserError(f"{folder}: not a study folder (no study.json); make one with `thresher nlu study`")
    if not (folder / "results.json").is_file():
        raise UserError(f"{folder}: no results yet; finish `thresher nlu study` first")
    facts, results = (read_facts(folder / f"{name}.json", AGAIN) for name in ("study", "results"))
    path = folder / "nlu.html"
    files.write(path, render(facts, results, read_table(folder / "scores.parquet", AGAIN)))
    return path


def render(facts: StudyFacts, results: StudyResults, scores: pl.DataFrame) -> str:
    environment = page_environment(TEMPLATE, REPORT_TEMPLATE)
    environment.filters |= {
        "percent": percent,
        "relative": figures.relative,
        "interval": partial(interval, digits=2),
    }
    return environment.get_template("nlu.html.j2").render(content(facts, results, scores))


def content(facts: StudyFacts, results: StudyResults, scores: pl.DataFrame) -> dict[str, object]:
    entries = results["techniques"]
    style = "".join(
        (place / name).read_text() for place, name in ((REPORT_TEMPLATE, "page.css"), (TEMPLATE, "nlu.css"))
    )
    historical = [entry for entry in entries if entry["pool"] == "historical"]
    deepest = max((entry["prune"] for entry in historical), default=0.0)
    deep = [entry for entry in historical if entry["prune"] == deepest]
    return {
        "version": installed("thresher"),
        "style": Markup(style),
        "results": results,
        "config": facts["config"],
        "headline": figures.headline(entries),
        "metrics": figures.METRICS,
        "entries": [{**entry, "name": figures.name_of(entry)} for entry in entries],
        "errors": [figures.errors_figure(entries, metric) for metric in figures.METRICS] if entries else [],
        "sigmas": [figures.sigma_figure(entries, metric) for metric in figures.METRICS] if entries else [],
        "distributions": figures.distributions(scores),
        "domains": [figures.domain_table(deep, metric) for metric in ("DCER", "IRER")] if deep else [],
        "mixed": [entry for entry in entries if entry["pool"] == "mixed"],
        "seconds": duration(results["seconds"]),
    }
