"""`thresher run`: the whole job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thresher.cli import terminal
from thresher.cli.options import (
    COMPARE,
    DATA,
    FLOOR_GROUP,
    MARGIN,
    MEASURE,
    MODEL,
    SEED,
    SELECT,
    TRAIN,
    WORKERS,
    ConfigFile,
    Force,
    Json,
    Out,
    Overrides,
    Quiet,
    ScoreOptions,
    takes,
)
from thresher.cli.settings import resolve
from thresher.config import RunConfig

if TYPE_CHECKING:
    from thresher.results import WholeRun

Train = Annotated[
    str | None,
    typer.Argument(
        metavar="TRAIN", help="labelled rows: .jsonl .json .csv .tsv .parquet, a folder or a glob"
    ),
]
RUN = (*DATA, *MODEL, *TRAIN, *SEED, *MEASURE, *WORKERS, *SELECT, *MARGIN, *FLOOR_GROUP, *COMPARE)


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(run)


@takes(*RUN)
def run(
    context: typer.Context,
    *,
    train: Train = None,
    out: Out,
    config: ConfigFile = None,
    set: Overrides = None,
    score_option: ScoreOptions = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prune a file of labelled rows and test the result: train, measure, score, select, compare, report.

    Finished steps are skipped: the same command resumes, and another --prune repeats only what depends on it.
    """
    terminal.start(quiet)
    more = {"data.train": train} if train is not None else {}
    resolved = resolve(RUN, context.params, config, set, score_option, more)
    result = whole_job(resolved, out, force)
    if json:
        terminal.as_json(result.to_dict())
    else:
        show(result)


def whole_job(config: RunConfig, out: Path, force: bool) -> WholeRun:
    """Load the rows of a configuration and run the whole job on them."""
    from thresher.api import job
    from thresher.pipeline.selection_settings import check_selection

    if not job.has_record(out, "score"):
        check_selection(config.select, config.data.groups, config.data.label)
    rows, test = loaded(config)
    return job.whole_job(rows, out, test, config, force=force)


def loaded(config: RunConfig) -> tuple[Any, Any]:
    """Training rows and test rows, checked before anything is trained or written."""
    from thresher.pipeline.test_rows import load_test
    from thresher.rows import load

    data = config.data
    rows = load(
        data.train, text=data.text, label=data.label, id=data.id, groups=data.groups, where=data.where
    )
    return rows, load_test(data.test, rows, data) if data.test else None


def show(result: WholeRun) -> None:
    """Print the result of a run: the comparison and the files."""
    if result.compare:
        terminal.proof(result.compare.to_dict())
    else:
        terminal.unproved(result.run)
    n_kept, n_rows = result.n_kept, result.n_rows
    terminal.line(f"kept rows ({n_kept:,} of {n_rows:,}): {result.kept}")
    terminal.line(f"dropped rows ({n_rows - n_kept:,}): {result.dropped}")
    terminal.line(f"report: {result.report}")
