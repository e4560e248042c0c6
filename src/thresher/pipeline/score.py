"""Turn signals into a table of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from thresher.config import ScoreConfig
from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import check_rows
from thresher.run import Run, parquet
from thresher.run.integrity import MADE_OF, read_table, write_table
from thresher.run.lock import lock
from thresher.run.run import command
from thresher.run.steps import Facts, step
from thresher.training.finished import check_evaluations


def score(run: Run, settings: ScoreConfig, *, force: bool = False) -> Facts:
    """Compute the scores that the signals can give; see `thresher.api.score`."""
    if run.manifest.source == "proxy":
        with lock(run.folder):
            facts = compute_scores(run.scoring, settings, force=force)
    else:
        facts = compute_scores(run, settings, force=force)
    report_outdated(run)
    return facts


def resolved(run: Run, settings: ScoreConfig) -> Mapping[str, Any]:
    """The options of the scores as they are read, as an input of the step."""
    if not settings.options:
        return {}
    from thresher.scores import check_options

    return {"options": check_options({name: dict(values) for name, values in settings.options.items()})}


def ready(run: Run, settings: ScoreConfig) -> None:
    """Refuse damaged rows, signals or evaluations that are gone, and an epoch that no training has reached."""
    check_rows(run.rows_file)
    trainings = run.measured()
    if not trainings:
        raise UserError(f"{run}: its signals are gone; run `thresher measure {run}` first")
    check_evaluations(run)
    last = read_table(
        run.signals(trainings[0]) / "checkpoints.parquet", f"`thresher measure {run}` measures it again"
    )["epoch"].max()
    if isinstance(last, float):
        refuse_epochs(settings, last)


def refuse_epochs(settings: ScoreConfig, last: float) -> None:
    """Refuse a score at an epoch that the training does not reach.

    Raises UserError: one line that names the option and the last epoch.

    >>> refuse_epochs(ScoreConfig(options={"el2n": {"epoch": 99}}), 3)
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: el2n.epoch is 99, and the training ends at epoch 3
    """
    if not settings.options:
        return
    from thresher.scores import check_options

    options = check_options({name: dict(values) for name, values in settings.options.items()})
    for name in settings.options:
        epoch = options[name].get("epoch")
        if isinstance(epoch, int | float) and epoch > max(1.0, 1.5 * last):
            raise UserError(f"{name}.epoch is {epoch:g}, and the training ends at epoch {last:g}")


@step(
    "score",
    after="measure",
    ignore=("options",),
    inputs=resolved,
    check=ready,
    problem=lambda run, facts: f"{run.scores_file}: {found}" if (found := run.scores_problem()) else None,
)
def compute_scores(run: Run, settings: ScoreConfig) -> Facts:
    """Write the table of scores; returns {"scores": {name: ...}, "skipped": {name: reason}, "stability"}."""
    from thresher.scores import score_runs, scores, stability
    from thresher.scores.registry import OF_TEXTS
    from thresher.signals.measure import read_signals

    options = {name: dict(values) for name, values in settings.options.items()}
    runs = [read_signals(run, training) for training in run.measured()]
    table, about = score_runs(runs, options)
    if len(runs) > 1:
        about["stability"] = stability(runs, options)
    groups = [name for name in run.config.data.groups if name not in table.columns]
    rows = parquet.read(run.rows_file, columns=["id", *groups])
    table = table.join(rows, on="id", how="left", maintain_order="left")
    table = table.with_columns(class_names(table["label"], run.manifest.classes))
    write_table(run.scores_file, table, {MADE_OF: run.require("measure").key.encode()})
    if run.manifest.task != "text":
        # A classifier has no completions, which nobody misses.
        known = scores()
        about["skipped"] = {
            name: why for name, why in about["skipped"].items() if not OF_TEXTS & set(known[name].needs)
        }
    say(f"score: {', '.join(about['scores'])}")
    if about["skipped"]:
        say(f"score: left out: {left_out(about['skipped'])}")
    return dict(about)


def report_outdated(run: Run) -> None:
    """Say so if the kept rows were selected by other scores than those that the run has now."""
    selected = run.record("select")
    if selected and run.outdated("select"):
        names = f"{selected.facts['kept']} and {selected.facts['dropped']}"
        say(
            f"score: {names} were selected by earlier scores; `thresher {command('select')} {run}` selects again"
        )


def left_out(skipped: Mapping[str, str]) -> str:
    """Which scores are left out and why, those with the same reason together.

    >>> left_out({"d2": "'features' was not measured", "pvi": "no null model", "duplicates": "'features' was not measured"})
    "d2, duplicates ('features' was not measured); pvi (no null model)"
    """
    reasons: dict[str, list[str]] = {}
    for name, reason in skipped.items():
        reasons.setdefault(reason, []).append(name)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())


def class_names(labels: pl.Series, classes: Sequence[str]) -> pl.Series:
    """Class names for class indices."""
    return labels.replace_strict(range(len(classes)), list(classes), return_dtype=pl.String).alias("label")
