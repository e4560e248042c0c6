"""The page: a template filled from the run folder, with style, scripts and charting library inlined."""

from __future__ import annotations

import base64
import gzip
import hashlib
from functools import cache
from pathlib import Path

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from thresher.facts.comparison import ComparisonFacts
from thresher.report import arms, findings, settings
from thresher.report.distributions import Bools, distributions
from thresher.report.examples import examples, rows_of
from thresher.report.format import interval, percent, points, score_value, script_json, visible
from thresher.report.groups import groups
from thresher.report.overlap import overlap_tables
from thresher.report.pictures import pictures
from thresher.report.read import (
    RunFiles,
    Selection,
    next_command,
    read_run,
    score_order,
    shown_selection,
    to_compare,
)
from thresher.report.texts import is_text, text_proof
from thresher.report.verdict import decision, selection_words, verdict
from thresher.run import Run, files
from thresher.scores.registry import FORMS

TEMPLATE = Path(__file__).with_name("template")


def write(run: Run) -> Path:
    """Write RUN/report.html, one page with everything inside, and return its path.

    It reads the files of a run; for a step that has not been run the page shows its command. The same files give the same
    bytes.

    Text from the data is escaped for HTML and for the JSON inside the page, its control characters are made visible and
    its direction is isolated. A content security policy allows only the two scripts of the page and forbids loading anything.

    Raises UserError: a damaged file in the run, or a place that cannot be written.
    """
    path = run.folder / "report.html"
    files.write(path, render(read_run(run)))
    return path


def render(files: RunFiles) -> str:
    environment = page_environment(TEMPLATE)
    environment.filters |= {"percent": percent, "points": points, "interval": interval, "number": score_value}
    return environment.get_template("page.html.j2").render(content(files))


def page_environment(*folders: Path) -> Environment:
    """Templates of some folders, which escape every text and make its control characters visible."""
    return Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: (
            visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
        ),
    )


def content(files: RunFiles) -> dict[str, object]:
    selection = shown_selection(files)
    found = files.compared.get(selection.name) if selection else None
    entry = None if is_text(found) else found
    script, library = "".join(_asset(f"{name}.js") for name in ("charts", "page", "pictures")), _library()
    figures, shown = pictures(files), examples(files, selection)
    charts = (
        None
        if files.scores is None
        else distributions(files.scores, files.about["scores"], _kept(files.scores, selection))
    )
    return {
        "files": files,
        "config": files.manifest.config,
        "source": Path(files.manifest.config.data.train).name or "rows",
        "selection": selection,
        "words": _words(selection),
        "decision": _decision(files, found),
        "proof": text_proof(found),
        "verdict": verdict(selection, entry) if selection and entry else None,
        "newer": _newer(files, selection),
        "entry": entry,
        "figures": _figures(entry) if entry else [],
        "arms_table": arms.arms_table(entry) if entry else [],
        "compared": []
        if text_proof(found)
        else arms.compared_table(files.compared, {name: one.facts for name, one in files.selections.items()}),
        "facts": settings.facts(files, entry),
        "times": settings.times(files),
        "score_facts": settings.score_facts(files.about),
        "findings": [*findings.findings(files.audit), *findings.suspects(files.suspects)],
        "charts": charts,
        "charts_json": Markup(script_json(charts)),
        "pictures": figures,
        "pictures_json": Markup(script_json(figures)),
        "first_score": _first_score(files, selection),
        "score_colours": {name: index % 8 for index, name in enumerate(score_order(files.about["scores"]))},
        "examples": shown,
        "coloured": any(text["tokens"] for row in rows_of(shown) for text in row["texts"]),
        "overlaps": overlap_tables(files.similarity),
        "groups": groups(files, selection, entry),
        "command": lambda step: next_command(files, step),
        "to_compare": to_compare(files),
        "style": Markup(_asset("page.css")),
        "script": Markup(script),
        "library": Markup(library[0]) if charts or figures else "",
        "script_hashes": Markup(" ".join(f"'sha256-{one}'" for one in (_sha256(script), library[1]))),
    }


def _words(selection: Selection | None) -> dict[str, object] | None:
    return (
        selection_words(selection, selection.facts["n_kept"], selection.facts["n_rows"])
        if selection
        else None
    )


def _newer(files: RunFiles, shown: Selection | None) -> str | None:
    """The last selection, if the page shows an older one because only that was compared, and it drops rows."""
    chosen = (
        files.selections.get(files.records["select"].facts["name"]) if "select" in files.records else None
    )
    return chosen.name if shown and chosen and chosen.name != shown.name and chosen.facts["prune"] else None


def _decision(files: RunFiles, entry: ComparisonFacts | None) -> dict[str, str] | None:
    """The decision of the last whole job where the selection is still that of the job, else that of the comparison shown."""
    found, last = files.manifest.decision, files.records.get("select")
    if found and last and found.selection == last.facts["name"]:
        return decision(found.word, found.sentence)
    said = entry.get("decision") if entry else None
    return decision(said["word"], said["sentence"]) if said else None


def _kept(scores: pl.DataFrame, selection: Selection | None) -> Bools | None:
    if selection is None:
        return None
    joined = scores.select("id").join(
        selection.table.select("id", "kept"), on="id", how="left", maintain_order="left"
    )
    return joined["kept"].fill_null(True).to_numpy()


def _figures(entry: ComparisonFacts) -> list[dict[str, object]]:
    return [
        {
            "metric": metric,
            "name": name,
            "arms": arms.arms_figure(entry, metric),
            "differences": arms.differences_figure(entry, metric),
        }
        for metric, name in arms.METRICS.items()
    ]


def _first_score(files: RunFiles, selection: Selection | None) -> str | None:
    """The score that the page shows first: the one that the selection used, else the first one."""
    column = str(selection.facts.get("column")) if selection else ""
    names, first = list(files.about["scores"]), column.split("+")[0]
    return next(
        (name for name in names if first in (name, *(f"{name}{form}" for form in FORMS))),
        names[0] if names else None,
    )


@cache
def _asset(name: str) -> str:
    return (TEMPLATE / name).read_text(encoding="utf-8")


@cache
def _library() -> tuple[str, str]:
    """The charting library, compressed to a fifth of its size, and the hash of its source for the content security policy."""
    source = get_plotlyjs()
    packed = gzip.compress(source.encode(), compresslevel=9, mtime=0)
    return base64.b64encode(packed).decode(), _sha256(source)


def _sha256(source: str) -> str:
    return base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
