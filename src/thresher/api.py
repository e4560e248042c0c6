"""The steps on a run folder, as the command line and notebooks call them.

rows = th.load("train.jsonl", text="text", label="label")
run = th.train(rows, out="RUN", test="test.jsonl")
th.measure(run); th.score(run); th.select(run, prune=0.45, by="vog"); th.compare(run); th.report(run)

or all of them in one call: th.run(rows, out="RUN", test="test.jsonl", prune=0.45)
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

import polars as pl

from thresher import run_folder
from thresher.begin import (
    begin,
    change_config,
    changed,
    check_selection,
    clear,
    data_config,
    go_on,
    load_test,
    refuse_other,
    request_of,
    set_test,
    train_settings,
    write_manifest,
)
from thresher.config import RunConfig, with_settings
from thresher.errors import UserError
from thresher.progress import say, warn
from thresher.rows import Rows, load, read_rows, write_back
from thresher.rows.origin import check_unchanged
from thresher.rows.wording import listed
from thresher.run_folder import file_digest, finish, lock, read_manifest, redo, require, stamp, state

__all__ = ["compare", "load", "measure", "report", "run", "score", "select", "train"]

RunPath = str | Path


def run(
    rows: Rows,
    *,
    out: RunPath,
    test: Rows | str | Path | None = None,
    config: RunConfig | None = None,
    force: bool = False,
    **settings: Any,
) -> dict[str, Any]:
    """The whole job: train, measure, score, select, compare (where there are test rows) and report.

    Takes what `train` takes, and the settings of the other steps by name: `prune`, `by`, `end`, `seeds`, ...; finished
    steps are skipped.

    Returns
    -------
    {"run", "n_rows", "n_kept", "selection", "kept", "dropped", "report", "compare"}: the counts, the paths, and what
    `compare` returned, None without test rows.

    Raises
    ------
    UserError
        what any of the steps refuses; an impossible selection before anything is trained.
    """
    base = config or RunConfig(data=data_config(rows, test))
    resolved = with_settings(base, **settings)
    check_selection(resolved.select, rows.groups, rows.label)
    proof_seeds = resolved.compare.seeds if test is not None else 0
    folder = train(rows, out=out, test=test, config=resolved, force=force, proof_seeds=proof_seeds)
    measure(folder, **resolved.measure.model_dump())
    score(folder, options=resolved.scores)
    select(folder, **resolved.select.model_dump())
    tested = (folder / "test.parquet").is_file()
    entry = compare(folder, **resolved.compare.model_dump()) if tested else None
    page = report(folder)
    selected = require(folder, "select")
    return {
        "run": str(folder),
        "n_rows": len(rows),
        "n_kept": selected["n_kept"],
        "selection": selected["name"],
        "kept": str(folder / selected["kept"]),
        "dropped": str(folder / selected["dropped"]),
        "report": str(page),
        "compare": entry,
    }


def train(
    rows: Rows,
    *,
    out: RunPath,
    test: Rows | str | Path | None = None,
    config: RunConfig | None = None,
    force: bool = False,
    proof_seeds: int = 0,
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
        rows of a test set (or its path, read with the same columns), for `compare`. A run that is there already
        gets them, too: they change nothing about its training.
    config
        a whole configuration; or single `settings` by name: `model`, `layers`, `epochs`, `encoder_lr`, `runs`, ...
    force
        start over where the folder holds a run of other data or settings, or this one.
    proof_seeds
        trainings on full data that `compare` will ask for: trained side by side with the scored run where cores are free.

    Returns
    -------
    the run folder.

    Raises
    ------
    UserError
        bad rows, an unknown model or setting, or a folder that holds another run. Nothing is written then.
    """
    folder = Path(out)
    resolved = with_settings(config or RunConfig(data=data_config(rows, test)), **settings)
    if isinstance(test, str | Path):
        test = load_test(test, rows, resolved.data.id)
    made_with = train_settings(rows, resolved)
    overwrite = force and (folder / "run.yaml").is_file()
    there = overwrite or refuse_other(folder, made_with)
    if overwrite or not there:
        from thresher.model.encoder import load_encoder

        load_encoder(resolved.model)
    with lock(folder):
        if overwrite:
            clear(folder)
        if refuse_other(folder, made_with):
            go_on(folder, rows, test, resolved.data)
        else:
            try:
                begin(folder, rows, test, resolved, made_with)
            except UserError:
                clear(folder)
                raise
        if state(folder, "train", made_with) == "done":
            say(f"train: already done in {folder}; --force redoes it")
            return folder
        from thresher.training.train import train_runs

        started = time.monotonic()
        facts = train_runs(folder, proof_seeds)
        seconds = time.monotonic() - started
        finish(folder, "train", made_with, seconds=round(seconds, 1), trained=facts)
        say(f"train: {facts['steps']:,} steps, {resolved.train.runs} run(s), {seconds:,.0f} s")
    return folder


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
        used = change_config(run, "measure", **settings)
        made_with = {"train": before["hash"], "chunk_rows": used["chunk_rows"], "dtype": used["dtype"]}
        done = stamp(run, "measure")
        if done and not force and state(run, "measure", made_with) == "done":
            say(f"measure: already done in {run}; --force redoes it")
            return dict(done["measured"])
        from thresher.signals.measure import measure_run

        redo(run, "measure")
        if force:
            shutil.rmtree(run / "signals", ignore_errors=True)
        started = time.monotonic()
        facts = measure_run(run, say)
        seconds = time.monotonic() - started
        finish(run, "measure", made_with, seconds=round(seconds, 1), measured=facts)
        for reason in facts["refused"].values():
            say(f"measure: {reason}; scores that need it are left out")
        if facts["truncated"]:
            say(f"measure: {facts['truncated']:,} rows were longer than the model takes and were cut")
        say(f"measure: {facts['rows']:,} rows x {facts['checkpoints']} checkpoints, {seconds:,.0f} s")
    return facts


def score(
    run: RunPath, *, options: Mapping[str, Mapping[str, Any]] | None = None, force: bool = False
) -> pl.DataFrame:
    """Every score that the signals can give, raw and normalised, written to `scores.parquet` and returned.

    `options` per score, e.g. `{"vog": {"window": "late"}, "el2n": {"epoch": 1}}`; by default those in `run.yaml`.

    Raises
    ------
    UserError
        nothing was measured yet, or an unknown score, option or value.
    """
    run = Path(run)
    before = require(run, "measure")
    with lock(run):
        from thresher.scores import check_options

        manifest = read_manifest(run)
        given = manifest["config"]["scores"] if options is None else options
        chosen = {name: dict(values) for name, values in given.items()}
        made_with = {"measure": before["hash"], "options": check_options(chosen)}
        if not force and state(run, "score", made_with) == "done":
            say(f"score: already done in {run}; --force redoes it")
            return pl.read_parquet(run / "scores.parquet")
        from thresher.scores import score_runs
        from thresher.signals.measure import read_signals, run_names

        table, about = score_runs([read_signals(run, name) for name in run_names(run)], chosen)
        groups = [name for name in manifest["config"]["data"]["groups"] if name not in table.columns]
        rows = pl.read_parquet(run / "rows.parquet", columns=["id", *groups])
        table = table.join(rows, on="id", how="left", maintain_order="left")
        table = table.with_columns(class_names(table["label"], manifest["classes"]))
        redo(run, "score")
        manifest["config"]["scores"] = chosen
        write_manifest(run, manifest)
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

    `settings`: `prune`, `by`, `end`, `normalise`, `strategy`, `options`, `stratify`, `floor`, `floor_group`, `protect`,
    `seed`. Returns `id, key, kept`; the files are `RUN/kept.*` and `RUN/dropped.*`. A class of which pruning would keep
    no row keeps `floor` of them, with a warning.

    Raises
    ------
    UserError
        nothing was scored yet, a selection that cannot be made, or a source that has changed since it was read.
    """
    run = Path(run)
    before = require(run, "score")
    with lock(run):
        from thresher.scores import column
        from thresher.selection import select as choose

        manifest, config = changed(run, "select", settings)
        used = config.select
        scores = pl.read_parquet(run / "scores.parquet")
        by, hard = column(used.by, used.normalise, scores.columns)
        made_with = {"score": before["hash"], **used.model_dump(mode="json")}
        name = f"{by}-{used.end}-{used.strategy}-{used.prune:g}"
        path = run / "selections" / f"{name}.parquet"
        done = stamp(run, "select")
        if done and not force and path.is_file() and state(run, "select", made_with) == "done":
            say(f"select: already done in {run}; --force redoes it")
            return pl.read_parquet(path)
        request = request_of(used, config.data.label)
        selection = choose(scores, by=by, hard=hard, **request)
        bare = choose(scores, by=by, hard=hard, **{**request, "floor": 0}) if used.floor else selection
        warn_of_floor(scores["label"], bare["kept"], used.prune, used.floor)
        rows = read_rows(run / "rows.parquet")
        aligned = rows.table.select("id").join(selection, on="id", how="left", maintain_order="left")
        for part in rows.source.parts:
            check_unchanged(part)
        redo(run, "select")
        run_folder.write(path, selection.write_parquet)
        kept_path, dropped_path = write_back(rows, aligned["kept"].to_numpy(), run / "kept")
        write_manifest(run, manifest)
        n_kept = int(selection["kept"].sum())
        places = {"n_kept": n_kept, "kept": kept_path.name, "dropped": dropped_path.name}
        facts = {**used.model_dump(mode="json"), "column": by, "hard": hard, "n_rows": len(rows), **places}
        run_folder.write(path.with_suffix(".json"), run_folder.as_json(facts))
        finish(run, "select", made_with, name=name, **places)
        say(f"select: {n_kept:,} of {len(rows):,} rows kept by {by} ({used.end} end pruned, {used.strategy})")
    return selection


def warn_of_floor(labels: pl.Series, kept: pl.Series, prune: float, floor: int) -> None:
    """Say which classes pruning alone would leave without a row, and what the floor does about it."""
    lost = sorted(set(labels.unique()) - set(labels.filter(kept).unique()))
    if lost:
        what = (
            f"the floor keeps up to {floor} of each" if floor else "a model cannot learn them; give --floor 1"
        )
        classes = "class" if len(lost) == 1 else "classes"
        warn(f"prune {prune:g} keeps no row of {len(lost)} {classes} ({listed(lost)}): {what}")


def compare(
    run: RunPath, *, test: Rows | str | Path | None = None, force: bool = False, **settings: Any
) -> dict[str, Any]:
    """Prove the last selection by retraining: kept rows and as many random ones, beside full data.

    `settings`: `seeds`, `same_steps`, `workers`, `bootstrap`. `test`: test rows, where the run has none or should have
    others. Returns arms, differences with 95% intervals, groups, verdict.

    Raises
    ------
    UserError
        nothing was selected yet, or there are no test rows.
    """
    run = Path(run)
    before = require(run, "select")
    with lock(run):
        if test is not None:
            rows = read_rows(run / "rows.parquet")
            data = read_manifest(run)["config"]["data"]
            found = test if isinstance(test, Rows) else load_test(test, rows, data["id"])
            if found.hash() != read_manifest(run)["test_hash"]:
                set_test(run, rows, found, found.source.name)
        used = changed(run, "compare", settings)[1].compare
        tested = {"test": read_manifest(run)["test_hash"]}
        made_with = {"select": before["hash"], **tested, **used.model_dump(mode="json", exclude={"workers"})}
        name = before["name"]
        results = run_folder.read_results(run)
        if not force and state(run, "compare", made_with) == "done" and name in results.get("compare", {}):
            say(f"compare: already done in {run}; --force redoes it")
            return dict(results["compare"][name])
        from thresher.study.compare import compare_selection
        from thresher.study.similarity import similarity_table
        from thresher.study.wording import ARMS

        redo(run, "compare")
        if force:
            run_folder.update_results(run, cells={})
        started = time.monotonic()
        entry = compare_selection(run, name, used)
        change_config(run, "compare", **settings)
        selected = read_manifest(run)["config"]["select"]["prune"]
        table = similarity_table(pl.read_parquet(run / "scores.parquet"), selected)
        run_folder.update_results(run, similarity=table.to_dicts())
        seconds = time.monotonic() - started
        finish(run, "compare", made_with, name=name, seconds=round(seconds, 1))
        say(f"compare: {len(ARMS)} x {used.seeds} trainings, {seconds:,.0f} s")
    return entry


def report(run: RunPath, *, force: bool = False) -> Path:
    """Write the report of a run folder, one self-contained HTML page, and return its path.

    Raises
    ------
    UserError
        not a run folder, or it cannot be written.
    """
    run = Path(run)
    manifest = read_manifest(run)
    with lock(run):
        steps = {step: (stamp(run, step) or {}).get("hash") for step in run_folder.STEPS[:-1]}
        results = run / "results.json"
        read = {"results": file_digest(results) if results.is_file() else None, "manifest": manifest}
        made_with = {"thresher": installed("thresher"), "steps": steps, **read}
        path = run / "report.html"
        if not force and path.is_file() and state(run, "report", made_with) == "done":
            say(f"report: already done in {run}; --force redoes it")
            return path
        from thresher.report.page import write as write_page

        written = write_page(run)
        finish(run, "report", made_with)
        say("report: written")
    return written
