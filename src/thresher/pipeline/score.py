"""Turn signals into a table of scores."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from thresher.config import ScoreConfig
from thresher.errors import UserError
from thresher.pipeline.follow import Follower
from thresher.progress import say
from thresher.rows import check_rows
from thresher.run import Run
from thresher.run.files import unwritable
from thresher.run.integrity import MADE_OF, read_table, write_blocks
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


def options_of(settings: ScoreConfig) -> dict[str, dict[str, object]]:
    """The options of every score, those of the settings checked."""
    from thresher.scores import check_options

    return check_options({name: dict(values) for name, values in settings.options.items()})


def resolved(run: Run, settings: ScoreConfig) -> Mapping[str, object]:
    """The options of the scores as they are read, as an input of the step."""
    return {"options": options_of(settings)} if settings.options else {}


def ready(run: Run, settings: ScoreConfig) -> None:
    """Refuse damaged rows, signals or evaluations that are gone, and an epoch that no training has reached."""
    check_rows(run.rows_file)
    trainings = run.measured()
    if not trainings:
        raise UserError(f"{run}: its signals are gone; {run.again('measure')}")
    check_evaluations(run)
    table = read_table(run.signals(trainings[0]) / "checkpoints.parquet", run.again("measure"))
    refuse_checkpoints(settings, table.height)
    last = table["epoch"].max()
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
    options = options_of(settings) if settings.options else {}
    for name in settings.options:
        epoch = options[name].get("epoch")
        if isinstance(epoch, int | float) and epoch > max(1.0, 1.5 * last):
            raise UserError(f"{name}.epoch is {epoch:g}, and the training ends at epoch {last:g}")


def refuse_checkpoints(settings: ScoreConfig, count: int) -> None:
    """Refuse a score of checkpoints that the training does not have; it has `count`.

    Raises UserError: one line that names the option and the checkpoints.

    >>> refuse_checkpoints(ScoreConfig(options={"vog": {"window": "5,6"}}), 4)
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: vog.window names checkpoint 5, and the training has the checkpoints 0 to 3
    """
    options = options_of(settings) if settings.options else {}
    for name, option in ((name, option) for name in settings.options for option in ("checkpoint", "window")):
        given = options[name].get(option)
        for index in given if isinstance(given, tuple) else (given,):
            if isinstance(index, int) and not -count <= index < count:
                raise UserError(
                    f"{name}.{option} names checkpoint {index}, and the training has the checkpoints 0 to {count - 1}"
                )


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
    from thresher.pipeline.part_source import PartSource
    from thresher.scores import scores
    from thresher.scores.compute import score_sources
    from thresher.scores.registry import OF_TEXTS
    from thresher.scores.stability import agreement
    from thresher.scores.store import Store
    from thresher.scores.table import BLOCK_ROWS, report

    runs = [PartSource(run, training) for training in run.measured()]
    with columns_folder(run) as folder:
        scored = score_sources(runs, options_of(settings), Store(folder), BLOCK_ROWS, every_run=len(runs) > 1)
        about = report(scored)
        if len(runs) > 1:
            about["stability"] = agreement(scored.found, runs[0].schema)
        made_of = {MADE_OF: run.require("measure").key.encode()}
        write_blocks(run.scores_file, with_groups(run, scored.blocks(), scored.columns), made_of)
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


@contextmanager
def columns_folder(run: Run) -> Iterator[Path]:
    """A temporary folder for columns of scores, in the run folder: the disk of the table of scores has room for them.

    Raises UserError: the disk is full.
    """
    folder = run.step_folder("score") / f".columns.{os.getpid()}.tmp"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder
    except OSError as error:
        raise unwritable(folder.parent, error) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def with_groups(run: Run, blocks: Iterable[pl.DataFrame], columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """The table of scores with the names of the classes and the group columns of the rows."""
    groups = [name for name in run.config.data.groups if name not in columns]
    rows = Follower([run.rows_file], groups)
    for block in blocks:
        beside = rows.at(block["id"]) if groups else pl.DataFrame()
        named = class_names(block["label"], run.manifest.classes)
        yield block.with_columns(named, *beside.get_columns())


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
    return labels.replace_strict(range(len(classes)), list(classes), return_dtype=pl.String).alias("label")
