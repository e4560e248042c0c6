"""Measure every signal in one pass over the rows."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from thresher.begin import (
    change_config,
    changed,
)
from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import check_rows
from thresher.run_folder import (
    RunPath,
    finish,
    lock,
    read_manifest,
    redo,
    require,
    scoring_run,
    stamp,
    state,
)
from thresher.signals.plan import signals_faults
from thresher.steps.proxy import take
from thresher.training.sound import check_trainings
from thresher.training.words import are_wanted


def measure(run: RunPath, *, force: bool = False, **settings: Any) -> dict[str, Any]:
    """Measure every signal in one pass over the rows; goes on where it was after an interruption.

    `settings`: `signals`, `features`, `words`; `chunk_rows`, `batch_tokens`, `dtype`, `workers`; `engine="ray"` for many
    machines, with `address`, `store`, `cores`. Only the first three change which scores there will be. Returns counts: rows,
    checkpoints, truncated, refused.

    Raises
    ------
    UserError
        nothing was trained yet, a checkpoint is missing or damaged, or an engine that cannot start.
    """
    run = Path(run)
    before = require(run, "train")
    if "watched" in read_manifest(run):
        raise UserError(f"{run}: was watched, so its signals are there; go on with `thresher score {run}`")
    with lock(run):
        config = changed(run, "measure", settings)[1]
        # Settled here, as the proxy's own run does not know that it is one.
        used = config.measure.model_copy(update={"words": are_wanted(config)})
        if scoring_run(run) != run:
            started = time.monotonic()
            facts = measure(scoring_run(run), force=force, **used.model_dump())
            change_config(run, "measure", **settings)
            take(run, "measure", seconds=round(time.monotonic() - started, 1), measured=facts)
            return facts
        read = used.model_dump(mode="json")
        made_with = {
            "train": before["hash"],
            **{name: read[name] for name in ("signals", "chunk_rows", "dtype")},
        }
        made_with |= {name: True for name in ("features", "words") if read[name]}
        done = stamp(run, "measure")
        same = done and not force and state(run, "measure", made_with) == "done"
        if done and same and not signals_faults(run):
            say(f"measure: already done in {run}; --force redoes it")
            return dict(done["measured"])
        check_rows(run / "rows.parquet")
        check_trainings(run)
        from thresher.execution.engines import check_engine
        from thresher.signals.distribute import place_of
        from thresher.signals.measure import measure_run

        check_engine(place_of(used), used.store)
        change_config(run, "measure", **settings)
        redo(run, "measure")
        if force:
            shutil.rmtree(run / "signals", ignore_errors=True)
        started = time.monotonic()
        facts = measure_run(run, say)
        seconds = time.monotonic() - started
        finish(run, "measure", made_with, seconds=round(seconds, 1), measured=facts)
        for reason in facts["refused"].values():
            say(f"measure: {reason}; scores that need them take another layer or are left out")
        if facts["truncated"]:
            say(f"measure: {facts['truncated']:,} rows were longer than the model takes and were cut")
        say(f"measure: {facts['rows']:,} rows x {facts['checkpoints']} checkpoints, {seconds:,.0f} s")
    return facts
