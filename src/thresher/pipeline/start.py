"""Start or resume a run: its rows, its test rows, its settings."""

from __future__ import annotations

import platform
import time
from collections.abc import Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from thresher.config import DataConfig, RunConfig
from thresher.errors import UserError
from thresher.pipeline.hold_out import held_out_lines
from thresher.pipeline.own_files import refuse_strange
from thresher.pipeline.test_rows import place_of, report_audit, set_test
from thresher.progress import say, warn
from thresher.rows import Rows, audit, audit_lines, save_rows
from thresher.rows.origin import content_of
from thresher.rows.store import source_of
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.integrity import table_problem, write_json
from thresher.run.layout import HOME, Layout
from thresher.run.manifest import HeldOut, Manifest, Recorded, Source, write_manifest
from thresher.training.folds import folds_of
from thresher.wording import shown


def data_config(rows: Rows, test: object) -> DataConfig:
    """The data section for rows that were loaded by hand.

    Raises UserError: they were not loaded.
    """
    if not isinstance(rows, Rows):
        raise UserError(
            f"rows are {type(rows).__name__}; load them first: thresher.load(..., text=..., label=...)"
        )
    return DataConfig(
        train=rows.source.name,
        test=place_of(test),
        task="generate" if rows.task == "text" else "label",
        text=rows.text,
        label=rows.label,
        groups=rows.groups,
    )


def with_own_defaults(rows: Rows, config: RunConfig) -> RunConfig:
    """The settings with the defaults that depend on what the rows are for."""
    if rows.task != "text":
        return config
    from thresher.training.language_runs import with_text_defaults

    return with_text_defaults(config)


def identity(rows: Rows, config: RunConfig) -> dict[str, Any]:
    """The identity of a run: rows, model and recipe, but not the test rows."""
    return {
        "rows": rows.hash(),
        "columns": [*rows.text, rows.label, *rows.groups],
        "model": config.model.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json", exclude={"workers", "folds"}),
        "folds": folds_of(config.model, config.train),
        "proxy": config.proxy.model_dump(mode="json"),
        **({"generate": config.generate.model_dump(mode="json")} if rows.task == "text" else {}),
    }


def started_run(folder: Path, rows: Rows, config: RunConfig) -> Run | None:
    """The run that a folder holds already; None if it holds none.

    Raises UserError: it holds another run, one of another format, or files that a run would write over.
    """
    refuse_strange(folder)
    if not Run.exists(folder):
        return None
    run, wanted = Run.open(folder), identity(rows, config)
    manifest = run.manifest
    if manifest.key == digest(wanted):
        return run
    refuse_other_split(folder, manifest.held_out, held_out_of(rows))
    data = manifest.config.data
    columns = [*data.text, data.label, *data.groups]
    other = "settings" if manifest.rows_hash == wanted["rows"] else "data"
    if manifest.source != "recorded" and columns != wanted["columns"]:
        other = f"columns ({', '.join(columns)}; now {', '.join(wanted['columns'])})"
    raise UserError(f"{folder}: holds a run of other {other}; choose another --out, or --force to start over")


def held_out_of(rows: Rows) -> HeldOut | None:
    """What a manifest says of the rows that were held out of these."""
    found = rows.source.held_out
    if found is None or not len(found.rows):
        return None
    return HeldOut(rows=len(found.rows), share=found.share, too_small=found.too_small)


def refuse_other_split(folder: Path, former: HeldOut | None, now: HeldOut | None) -> None:
    """Refuse to go on with a run that holds out another share of its rows."""
    then, wanted = (f"{one.share:.3g}" if one else "none" for one in (former, now))
    if then != wanted:
        hint = f", prove on other rows with `thresher compare {folder} --test FILE`" if former else ""
        raise UserError(
            f"{folder}: holds a run with held-out share {then}, now {wanted}; choose another --out{hint}, or --force to start"
            " over"
        )


def start(
    folder: Path,
    rows: Rows,
    test: Rows | None,
    config: RunConfig,
    *,
    key: str,
    source: Source = "own",
    recorded: Recorded | None = None,
) -> Run:
    """Report the audit of the rows, and write rows and manifest."""
    found = audit(rows, test)
    # A run inside another one holds its rows, which that one has reported.
    if HOME not in folder.parts:
        for line in held_out_lines(rows, config.how_much.margin):
            say(line)
        report_audit(audit_lines(found), found)
        warn_of_idle_protection(rows, config.select.protect)
    layout = Layout(folder)
    save_rows(rows, layout.rows_file)
    if test is not None:
        save_rows(test, layout.test_file)
    write_json(layout.audit_file, dict(found))
    versions = {name: installed(name) for name in ("torch", "transformers", "polars")}
    manifest = Manifest(
        thresher=installed("thresher"),
        versions={"python": platform.python_version(), **versions},
        created=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        source=source,
        recorded=recorded,
        key=key,
        rows_hash=rows.hash(),
        test_hash=test.hash() if test is not None else None,
        n_rows=len(rows),
        n_test=len(test) if test is not None else 0,
        held_out=held_out_of(rows),
        classes=rows.classes,
        task=rows.task,
        config=config,
    )
    write_manifest(folder, manifest)
    return Run(folder, manifest)


def warn_of_idle_protection(rows: Rows, protect: Sequence[str]) -> None:
    """Warn, before hours are spent on training, of rows to protect that are not there."""
    for text in protect:
        column, _, value = text.partition("=")
        if column in rows.table.columns and not (rows.table[column] == value).any():
            warn(f"protect '{shown(text)}' matches no row")


def resume(run: Run, rows: Rows, test: Rows | None, data: DataConfig) -> Run:
    """Resume a run with its files where they are now, and with the test rows that are given now."""
    former = None if table_problem(run.rows_file) else source_of(run.rows_file)
    # The hash of the rows does not cover columns that the run does not use, which are written back too.
    if former is None or run.config.data.train != data.train or rows.source.parts != former.parts:
        save_rows(rows, run.rows_file)
        known = run.config.data.model_copy(update={"train": data.train})
        run = run.with_manifest(config=run.config.model_copy(update={"data": known}))
        if former and content_of(former) != content_of(source_of(run.rows_file)):
            say(
                "train: the rows are the same but their source has changed; rows are written back as it is now"
            )
    if test is not None and (test.hash() != run.manifest.test_hash or table_problem(run.test_file)):
        run = set_test(run, rows, test, data.test)
    return run


def refuse_group_names(rows: Rows) -> None:
    """Refuse groups with the name of a column of the score table."""
    from thresher.pipeline.selection_settings import score_columns

    taken = {"label", *score_columns()}
    for name in (name for name in rows.groups if name in taken):
        raise UserError(
            f"group column '{name}' has the name of a column of the score table; rename it in the data"
        )
