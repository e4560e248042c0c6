"""Prove a selection by retraining."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from thresher import parquet, run_folder
from thresher.begin import change_config, changed, load_test, refuse_watched, set_test
from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import read_rows
from thresher.run_folder import RunPath, finish, lock, read_manifest, redo, require, state


def compare(run: RunPath, *, test: Any = None, force: bool = False, **settings: Any) -> dict[str, Any]:
    """Prove the last selection by retraining: kept rows and as many random ones, beside full data.

    `settings`: `seeds`, `same_steps`, `workers`, `bootstrap`. `test`: test rows, or a path, a frame or a dataset, where the run
    has none or should have others. Returns arms, differences with 95% intervals, groups, verdict.

    Raises
    ------
    UserError
        nothing was selected yet, or there are no test rows.
    """
    run = Path(run)
    before = require(run, "select")
    refuse_watched(run)
    if run_folder.by_other_scores(run):
        raise UserError(
            f"{run}: the scores are others than those that the rows were selected by; run `thresher select {run}` first"
        )
    with lock(run):
        used = changed(run, "compare", settings)[1].compare
        if test is not None:
            rows = read_rows(run / "rows.parquet")
            data = read_manifest(run)["config"]["data"]
            found = load_test(test, rows, data["id"])
            if found.hash() != read_manifest(run)["test_hash"]:
                set_test(run, rows, found, found.source.name)
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
        started = time.monotonic()
        entry = compare_selection(run, name, used, anew=force)
        change_config(run, "compare", **settings)
        selected = read_manifest(run)["config"]["select"]["prune"]
        table = similarity_table(parquet.read(run / "scores.parquet"), selected)
        run_folder.update_results(run, similarity=table.to_dicts())
        seconds = time.monotonic() - started
        finish(run, "compare", made_with, name=name, seconds=round(seconds, 1))
        say(f"compare: {len(ARMS)} x {used.seeds} trainings, {seconds:,.0f} s")
    return entry
