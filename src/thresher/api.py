"""The steps on a run folder, as the command line and notebooks call them.

    rows = th.load("train.jsonl", text="text", label="label")
    run = th.train(rows, out="RUN", test="test.jsonl")
    th.measure(run); th.score(run); th.select(run, prune=0.45, by="vog"); th.compare(run); th.report(run)
"""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from thresher import run_folder
from thresher.config import CompareConfig, DataConfig, RunConfig, SelectConfig, checked, with_settings
from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import Rows, audit, audit_lines, load, read_rows, save_rows, write_back
from thresher.run_folder import digest, finish, lock, read_manifest, require, stamp, state

__all__ = ["compare", "load", "measure", "report", "score", "select", "train"]

RunPath = str | Path


def train(
    rows: Rows,
    *,
    out: RunPath,
    test: Rows | str | Path | None = None,
    config: RunConfig | None = None,
    force: bool = False,
    **settings: Any,
) -> Path:
    """Check the rows, start a run folder and train the model(s) that scores are taken from.

    Parameters
    ----------
    rows
        what `load` gave.
    out
        the run folder; made if it is not there.
    test
        rows of a test set (or its path, read with the same columns), for `compare`.
    config
        a whole configuration; or single `settings` by name: `model`, `layers`, `epochs`, `encoder_lr`, `runs`, ...
    force
        start over where the folder holds a run of other data or settings.

    Returns
    -------
    the run folder.

    Raises
    ------
    UserError
        bad rows, an unknown model or setting, or a folder that holds another run.
    """
    run = Path(out)
    base = config or RunConfig(data=data_config(rows, test))
    resolved = with_settings(base, **settings)
    if isinstance(test, str | Path):
        test = load(test, text=list(rows.text), label=rows.label, id=resolved.data.id, groups=list(rows.groups), classes=rows.classes)
    with lock(run):
        made_with = {
            "rows": rows.hash(),
            "test": test.hash() if test is not None else None,
            "model": resolved.model.model_dump(mode="json"),
            "train": resolved.train.model_dump(mode="json"),
        }
        begin(run, rows, test, resolved, made_with, force)
        if state(run, "train", made_with) == "done":
            say(f"train: already done in {run}; --force redoes it")
            return run
        from thresher.training.train import train_runs

        started = time.monotonic()
        facts = train_runs(run)
        finish(run, "train", made_with, seconds=round(time.monotonic() - started, 1), **{"trained": facts})
        say(f"train: {facts['steps']:,} steps, {resolved.train.runs} run(s), {time.monotonic() - started:,.0f} s")
    return run


def data_config(rows: Rows, test: Any) -> DataConfig:
    """The data section for rows that were loaded by hand."""
    where = str(test) if isinstance(test, str | Path) else None
    return DataConfig(train=rows.source.describe(), test=where, text=rows.text, label=rows.label, groups=rows.groups)


def begin(run: Path, rows: Rows, test: Rows | None, config: RunConfig, made_with: dict[str, Any], force: bool) -> None:
    """Report what the rows hold, and write what describes the run; refuse a folder of another run."""
    if (run / "run.yaml").is_file() or force:
        if not force:
            manifest = read_manifest(run)
            if manifest.get("made_with") == digest(made_with):
                return
            same_rows = manifest["rows_hash"] == made_with["rows"] and manifest["test_hash"] == made_with["test"]
            other = "settings" if same_rows else "data"
            raise UserError(f"{run}: holds a run of other {other}; choose another --out, or --force to start over")
        clear(run)
    found = audit(rows, test)
    for line in audit_lines(found):
        say(line)
    import torch
    import transformers

    versions = {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}
    save_rows(rows, run / "rows.parquet")
    if test is not None:
        save_rows(test, run / "test.parquet")
    run_folder.write(run / "audit.json", run_folder.as_json(found))
    run_folder.write_manifest(
        run,
        {
            "thresher": version(),
            "versions": versions,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "made_with": digest(made_with),
            "rows_hash": made_with["rows"],
            "test_hash": made_with["test"],
            "n_rows": len(rows),
            "n_test": len(test) if test is not None else 0,
            "classes": list(rows.classes),
            "config": config.model_dump(mode="json"),
        },
    )


def clear(run: Path) -> None:
    """Remove what thresher wrote into a run folder, and nothing else."""
    for name in ("checkpoints", "evaluations", "training", "signals", "selections", "cells", "steps"):
        shutil.rmtree(run / name, ignore_errors=True)
    for name in ("run.yaml", "rows.parquet", "test.parquet", "scores.parquet", "scores.json", "results.json", "report.html"):
        (run / name).unlink(missing_ok=True)


def version() -> str:
    """The version of the installed package."""
    from importlib.metadata import version as installed

    return installed("thresher")


def change_config(run: Path, section: str, **changes: Any) -> dict[str, Any]:
    """Write changed settings of one section to `run.yaml`; returns the section."""
    manifest = read_manifest(run)
    config = manifest["config"]
    config[section] = {**config[section], **{name: value for name, value in changes.items() if value is not None}}
    manifest["config"] = checked(config).model_dump(mode="json")
    manifest.pop("format")
    run_folder.write_manifest(run, manifest)
    section_now: dict[str, Any] = manifest["config"][section]
    return section_now


def measure(run: RunPath, *, force: bool = False, **settings: Any) -> dict[str, Any]:
    """Measure every signal in one pass over the rows; goes on where it was after an interruption.

    `settings`: `chunk_rows`, `batch_tokens`, `dtype`, `workers`. Returns counts: rows, checkpoints, truncated, refused.

    Raises
    ------
    UserError
        nothing was trained yet, or a checkpoint is missing or damaged.
    """
    run = Path(run)
    before = require(run, "train")
    with lock(run):
        from thresher.signals.measure import measure_run

        used = change_config(run, "measure", **settings)
        made_with = {"train": before["hash"], "chunk_rows": used["chunk_rows"], "dtype": used["dtype"]}
        if force:
            shutil.rmtree(run / "signals", ignore_errors=True)
        elif state(run, "measure", made_with) == "done":
            say(f"measure: already done in {run}; --force redoes it")
            done = stamp(run, "measure")
            return dict(done["measured"]) if done else {}
        started = time.monotonic()
        facts = measure_run(run)
        seconds = time.monotonic() - started
        finish(run, "measure", made_with, seconds=round(seconds, 1), measured=facts)
        for reason in facts["refused"].values():
            say(f"measure: {reason}; scores that need it are left out")
        if facts["truncated"]:
            say(f"measure: {facts['truncated']:,} rows were longer than the model takes and were cut")
        say(f"measure: {facts['rows']:,} rows x {facts['checkpoints']} checkpoints, {seconds:,.0f} s")
    return facts


def score(run: RunPath, *, options: Mapping[str, Mapping[str, Any]] | None = None, force: bool = False) -> pl.DataFrame:
    """Every score that the signals can give, raw and normalised, written to `scores.parquet` and returned.

    `options` per score, e.g. `{"vog": {"window": "late"}, "el2n": {"epoch": 1}}`.
    """
    run = Path(run)
    before = require(run, "measure")
    with lock(run):
        from thresher.scores import score_runs
        from thresher.signals.measure import read_signals, run_names

        chosen = {name: dict(values) for name, values in (options or read_manifest(run)["config"]["scores"]).items()}
        made_with = {"measure": before["hash"], "options": chosen}
        if not force and state(run, "score", made_with) == "done":
            say(f"score: already done in {run}; --force redoes it")
            return pl.read_parquet(run / "scores.parquet")
        table, about = score_runs([read_signals(run, name) for name in run_names(run)], chosen)
        groups = [name for name in read_manifest(run)["config"]["data"]["groups"] if name not in table.columns]
        rows = pl.read_parquet(run / "rows.parquet", columns=["id", *groups])
        table = table.join(rows, on="id", how="left", maintain_order="left")
        table = table.with_columns(class_names(table["label"], read_manifest(run)["classes"]))
        run_folder.write(run / "scores.parquet", table.write_parquet)
        run_folder.write(run / "scores.json", run_folder.as_json(about))
        finish(run, "score", made_with)
        for name, reason in about["skipped"].items():
            say(f"score: no {name}: {reason}")
        say(f"score: {', '.join(about['scores'])}")
    return table


def class_names(labels: pl.Series, classes: Sequence[str]) -> pl.Series:
    """Class names for class indices."""
    return labels.replace_strict(range(len(classes)), list(classes), return_dtype=pl.String).alias("label")


def select(run: RunPath, *, force: bool = False, **settings: Any) -> pl.DataFrame:
    """Choose the rows to keep, and write them and the dropped ones in the format of the input.

    `settings`: `prune`, `by`, `end`, `normalise`, `strategy`, `options`, `stratify`, `floor`, `floor_group`, `protect`, `seed`.
    Returns `id, key, kept`; the files are `RUN/kept.*` and `RUN/dropped.*`.
    """
    from thresher.scores import column
    from thresher.selection import select as choose

    run = Path(run)
    before = require(run, "score")
    with lock(run):
        used = SelectConfig(**change_config(run, "select", **settings))
        scores = pl.read_parquet(run / "scores.parquet")
        by, hard = column(used.by, used.normalise, scores.columns)
        made_with = {"score": before["hash"], **used.model_dump(mode="json")}
        name = f"{by}-{used.end}-{used.strategy}-{used.prune:g}"
        path = run / "selections" / f"{name}.parquet"
        if not force and path.is_file() and state(run, "select", made_with) == "done":
            say(f"select: already done in {run}; --force redoes it")
            return pl.read_parquet(path)
        selection = choose(
            scores,
            by=by,
            prune=used.prune,
            end=used.end,
            hard=hard,
            strategy=used.strategy,
            options=used.options,
            stratify=used.stratify,
            floor=used.floor,
            floor_group=("label", *used.floor_group),
            protect=used.protect,
            seed=used.seed,
        )
        rows = read_rows(run / "rows.parquet")
        aligned = rows.table.select("id").join(selection, on="id", how="left", maintain_order="left")
        kept_path, dropped_path = write_back(rows, aligned["kept"].to_numpy(), run / "kept")
        run_folder.write(path, selection.write_parquet)
        n_kept = int(selection["kept"].sum())
        facts = {
            **used.model_dump(mode="json"),
            "column": by,
            "hard": hard,
            "n_rows": len(rows),
            "n_kept": n_kept,
            "kept": str(kept_path),
            "dropped": str(dropped_path),
        }
        run_folder.write(path.with_suffix(".json"), run_folder.as_json(facts))
        finish(run, "select", made_with, name=name, **{"n_kept": n_kept, "kept": str(kept_path), "dropped": str(dropped_path)})
        say(f"select: {n_kept:,} of {len(rows):,} rows kept by {by} ({used.end} end pruned, {used.strategy}): {kept_path}")
    return selection


def compare(run: RunPath, *, force: bool = False, **settings: Any) -> dict[str, Any]:
    """Prove the last selection by retraining: kept rows and as many random ones, beside full data.

    `settings`: `seeds`, `same_steps`, `workers`, `bootstrap`. Returns arms, differences with 95% intervals, groups, verdict.
    """
    run = Path(run)
    before = require(run, "select")
    with lock(run):
        from thresher.study.compare import compare_selection
        from thresher.study.similarity import similarity_table

        used = CompareConfig(**change_config(run, "compare", **settings))
        shown = used.model_dump(mode="json", exclude={"workers"})
        made_with = {"select": before["hash"], **shown}
        name = before["name"]
        results = run_folder.read_results(run)
        if not force and state(run, "compare", made_with) == "done" and name in results.get("compare", {}):
            say(f"compare: already done in {run}; --force redoes it")
            return dict(results["compare"][name])
        if force:
            run_folder.update_results(run, cells={})
        started = time.monotonic()
        entry = compare_selection(run, name, used)
        selected = read_manifest(run)["config"]["select"]["prune"]
        table = similarity_table(pl.read_parquet(run / "scores.parquet"), selected)
        run_folder.update_results(run, similarity=table.to_dicts())
        finish(run, "compare", made_with, name=name, seconds=round(time.monotonic() - started, 1))
        say(f"compare: {entry['verdict']}")
    return entry


def report(run: RunPath) -> Path:
    """Write the report of a run folder, one self-contained HTML page, and return its path."""
    run = Path(run)
    read_manifest(run)
    with lock(run):
        from thresher.report.page import write as write_page

        path = write_page(run)
        say(f"report: {path}")
    return path
