"""Turn signals into a table of scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from thresher import files, parquet
from thresher.begin import (
    write_manifest,
)
from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import check_rows
from thresher.run_folder import (
    RunPath,
    by_other_scores,
    finish,
    forget_results,
    lock,
    read_manifest,
    redo,
    require,
    scoring_run,
    stamp,
    state,
)
from thresher.sealed import fault, write_table
from thresher.steps.proxy import take
from thresher.wording import shown

# What of the results was found by the scores; the trainings behind it stay, and are not made again.
BY_SCORES = ("similarity", "sweep", "how_much")


def score(
    run: RunPath, *, options: Mapping[str, Mapping[str, Any]] | None = None, force: bool = False
) -> pl.DataFrame:
    """Every score that the signals can give, raw and normalised, written to `scores.parquet` and returned.

    With several training runs `scores.json` also says how alike they score the rows.

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
        for name, values in given.items():
            if not isinstance(values, Mapping):
                raise UserError(
                    f"options of {shown(name)} are {shown(values)}; give them by score and name, e.g."
                    " {'vog': {'window': 'late'}}"
                )
        chosen = {name: dict(values) for name, values in given.items()}
        if scoring_run(run) != run:
            table = score(scoring_run(run), options=chosen, force=force)
            manifest["config"]["scores"] = chosen
            write_manifest(run, manifest)
            former = stamp(run, "score")
            take(run, "score", ("scores.parquet", "scores.json"))
            if former and former["hash"] != require(run, "score")["hash"]:
                forget_results(run, *BY_SCORES)
                say_what_stands(run)
            return table
        made_with = {"measure": before["hash"], "options": check_options(chosen)}
        path = run / "scores.parquet"
        if not force and state(run, "score", made_with) == "done" and not fault(path):
            say(f"score: already done in {run}; --force redoes it")
            return parquet.read(path)
        from thresher.scores import score_runs, stability
        from thresher.signals.measure import measured_names, read_signals

        runs = [read_signals(run, name) for name in measured_names(run)]
        table, about = score_runs(runs, chosen)
        if len(runs) > 1:
            about["stability"] = stability(runs, chosen)
        groups = [name for name in manifest["config"]["data"]["groups"] if name not in table.columns]
        check_rows(run / "rows.parquet")
        rows = parquet.read(run / "rows.parquet", columns=["id", *groups])
        table = table.join(rows, on="id", how="left", maintain_order="left")
        table = table.with_columns(class_names(table["label"], manifest["classes"]))
        if state(run, "score", made_with) == "other":
            forget_results(run, *BY_SCORES)
        redo(run, "score")
        manifest["config"]["scores"] = chosen
        write_manifest(run, manifest)
        write_table(path, table)
        files.write(run / "scores.json", files.as_json(about))
        finish(run, "score", made_with)
        say(f"score: {', '.join(about['scores'])}")
        if about["skipped"]:
            say(f"score: left out: {left_out(about['skipped'])}")
        say_what_stands(run)
    return table


def say_what_stands(run: Path) -> None:
    """Say so where the kept rows were chosen by other scores than those that the run has now."""
    chosen = stamp(run, "select")
    if chosen and by_other_scores(run):
        names = f"{chosen['kept']} and {chosen['dropped']}"
        say(f"score: {names} were chosen by the scores before; `thresher select {run}` chooses anew")


def left_out(skipped: Mapping[str, str]) -> str:
    """Which scores there are not and why, those with the same reason together.

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
