"""Measure every signal in one pass over the rows."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from thresher.begin import (
    change_config,
)
from thresher.progress import say
from thresher.run_folder import RunPath, finish, lock, redo, require, stamp, state


def measure(run: RunPath, *, force: bool = False, **settings: Any) -> dict[str, Any]:
    """Measure every signal in one pass over the rows; goes on where it was after an interruption.

    `settings`: `chunk_rows`, `batch_tokens`, `dtype`, `features`, `workers`. Returns counts: rows,
    checkpoints, truncated, refused.

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
        made_with |= {"features": True} if used["features"] else {}
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
            say(f"measure: {reason}; scores that need them take another layer or are left out")
        if facts["truncated"]:
            say(f"measure: {facts['truncated']:,} rows were longer than the model takes and were cut")
        say(f"measure: {facts['rows']:,} rows x {facts['checkpoints']} checkpoints, {seconds:,.0f} s")
    return facts
