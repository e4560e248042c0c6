"""Plant label noise and see what it does."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from thresher import run_folder
from thresher.begin import change_config, changed, refuse_watched
from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import read_rows
from thresher.run_folder import (
    RunPath,
    finish,
    has_test,
    lock,
    read_manifest,
    redo,
    require,
    scoring_run,
    stamp,
    state,
)
from thresher.steps.nested import nested_run


def noise(run: RunPath, *, force: bool = False, **settings: Any) -> dict[str, Any]:
    """Plant label noise at several levels, score a run on each, prune it, and count which scores find the wrong labels.

    Every level is a run of its own in `RUN/noise/`, with the recipe of the run and its test rows, whose labels stay. It goes
    on where it was after an interruption; a level that is done is not done again.

    `settings`: `kinds` (isotropic, class, group), `levels`, `fractions`, `hard_fractions`, `seeds`, `group`, `seed`,
    `workers`.

    Returns
    -------
    `results.json["noise"]`: {"levels": [{kind, level, ...}]}; see `thresher.study.noise.noise_figures`.

    Raises
    ------
    UserError
        nothing was scored yet, no test rows, or a setting that it does not take. Before anything is trained: a level at
        which no label changes, a fraction that takes away no row or leaves none, fewer rows than can be compared.
    """
    run = Path(run)
    before = require(run, "score")
    refuse_watched(run)
    with lock(run):
        if not has_test(run):
            raise UserError(
                f"{run}: no test rows to compare on; give them with `thresher compare {run} --test FILE`"
            )
        from thresher.rows.noise import Noisy
        from thresher.study.noise import noise_figures, plant, refuse_idle, with_labels

        config = changed(run, "noise", settings)[1]
        asked = config.noise
        made_of = {"score": before["hash"], "test": read_manifest(run)["test_hash"]}
        made_with = {**made_of, **asked.model_dump(mode="json", exclude={"workers"})}
        results = run_folder.read_results(run)
        if not force and state(run, "noise", made_with) == "done" and results.get("noise"):
            say(f"noise: already done in {run}; --force redoes it")
            return dict(results["noise"])
        rows, test = read_rows(run / "rows.parquet"), read_rows(run / "test.parquet")
        planted: dict[tuple[str, float], Noisy] = {
            (kind, level): plant(run, rows, kind, level, asked)
            for kind in asked.kinds
            for level in asked.levels
        }
        refuse_idle(planted, len(rows), asked)
        redo(run, "noise")
        if force:
            shutil.rmtree(run / "noise", ignore_errors=True)
        started = time.monotonic()
        found = []
        for (kind, level), noisy in planted.items():
            labels = with_labels(rows, noisy.labels)
            folder = run / "noise" / f"{kind}-{level:g}-{labels.hash()[:8]}"
            level_of = {**made_with, "levels": None, "kinds": None}
            if state(folder, "noise", level_of) != "done":
                what = "drawn anew" if kind != "class" else "changed as the model errs"
                say(
                    f"noise: {kind}, {100 * level:g}% of the labels {what}, {noisy.changed.mean():.2%} changed"
                )
                nested_run(folder, labels, test, config, proof_seeds=asked.seeds)
                figures = {"kind": kind, "level": level, **noise_figures(folder, noisy.changed, asked)}
                finish(folder, "noise", level_of, figures=figures)
                # What a level leaves is its figures, scores and cells; weights of every level would fill the disk.
                shutil.rmtree(scoring_run(folder) / "checkpoints", ignore_errors=True)
            done = stamp(folder, "noise")
            assert done is not None
            found.append(done["figures"])
        entry = {"levels": found, "n": len(rows), "n_classes": len(rows.classes), "n_test": len(test)}
        change_config(run, "noise", **settings)
        run_folder.update_results(run, noise=entry)
        seconds = time.monotonic() - started
        finish(run, "noise", made_with, seconds=round(seconds, 1))
        say(f"noise: {len(found)} levels, {seconds:,.0f} s")
    return entry
