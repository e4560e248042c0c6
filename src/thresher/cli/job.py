"""`thresher run`: the whole job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, ConfigFile, Force, Out, Overrides, ScoreOptions, command, told
from thresher.cli.options import (
    BUDGET,
    COMPARE,
    DATA,
    FLOOR_GROUP,
    HOLD_OUT,
    LOSS_MARGIN,
    MARGIN,
    MEASURE,
    MODEL,
    PRESET,
    SEED,
    SELECT,
    TRAIN,
    WORKERS,
    by_preset,
)
from thresher.cli.settings import resolve
from thresher.config import RunConfig
from thresher.pipeline.preset import with_preset

if TYPE_CHECKING:
    from thresher.results import WholeRun

Train = Annotated[
    str | None,
    typer.Argument(
        metavar="TRAIN", help="labelled rows: .jsonl .json .csv .tsv .parquet, a folder or a glob"
    ),
]
PlanOnly = Annotated[
    bool, typer.Option("--plan", help="say what would be trained and how long it takes, and stop")
]
RUN = (
    *(*DATA, *PRESET, *by_preset(*MODEL), *TRAIN, *SEED, *MEASURE, *WORKERS),
    *(*by_preset(*SELECT), *MARGIN, *LOSS_MARGIN, *FLOOR_GROUP, *COMPARE, *HOLD_OUT, *BUDGET),
)


NAMES = ("prompt", "completion")


@command(*RUN)
def run(
    context: typer.Context,
    *,
    train: Train = None,
    out: Out,
    config: ConfigFile = None,
    set: Overrides = None,
    score_option: ScoreOptions = None,
    plan: PlanOnly = False,
    force: Force = False,
) -> Answer:
    """Find the rows that the model can do without, prove it by retraining, and write the kept rows.

    Heads on the frozen encoder score the rows and search for the share to drop; the model itself proves it. Without --test
    some rows are held out for the proof. Ends with a decision; where no share holds, the kept file has all rows.

    Finished steps are skipped: the same command resumes, and another --prune repeats only what depends on it.
    """
    more = {"data.train": train} if train is not None else {}
    resolved = with_preset(resolve(RUN, context.params, config, set, score_option, more))
    if plan:
        return planned(resolved)
    result = whole_job(resolved, out, force)
    return Answer(result.to_dict(), lambda: show(result, resolved.data.task))


def whole_job(config: RunConfig, out: Path, force: bool) -> WholeRun:
    """Load the rows of a configuration and run the whole job on them."""
    from thresher.api import whole_job as job
    from thresher.pipeline.selection_settings import check_selection

    if not job.has_record(out, "score"):
        check_selection(config.select, config.data.groups, config.data.label)
    rows, test = loaded(config)
    return job.whole_job(rows, out, test, config, force=force)


def planned(config: RunConfig) -> Answer:
    """What a whole job by a configuration would do."""
    from thresher.api import job

    plan = job.whole_plan(*loaded(config), config)
    return told(plan.to_dict(), *plan.lines())


def loaded(config: RunConfig) -> tuple[Any, Any]:
    """Training rows and test rows, checked before anything is trained or written."""
    from thresher.pipeline.test_rows import load_test
    from thresher.rows import load, load_texts

    data = config.data
    if data.task == "generate":
        names = {"messages": data.messages} if data.messages else dict(zip(NAMES, data.text, strict=True))
        rows = load_texts(data.train, **names, id=data.id, groups=data.groups, where=data.where)
    else:
        rows = load(
            data.train, text=data.text, label=data.label, id=data.id, groups=data.groups, where=data.where
        )
    return rows, load_test(data.test, rows, data) if data.test else None


def show(result: WholeRun, task: str) -> None:
    """Print the result of a run: the proof, the decision and the files; `task`: that of its rows."""
    if result.compare:
        terminal.proof(result.compare)
    terminal.line(result.decision["sentence"])
    terminal.lines(
        terminal.file_lines(result.n_rows, result.n_kept, result.n_held_out, result.kept, result.dropped)
    )
    what = "that are probably mislabelled" if task == "label" else "to read"
    terminal.line(f"suspects, rows {what}: {result.suspects}")
    terminal.line(f"report: {result.report}")
