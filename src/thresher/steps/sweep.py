"""Try many ways to choose rows."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from thresher import files, parquet, run_folder
from thresher.begin import change_config, changed, refuse_watched
from thresher.errors import UserError
from thresher.progress import say
from thresher.run_folder import RunPath, finish, has_test, lock, read_manifest, redo, require, state
from thresher.steps.other_model import beside
from thresher.steps.selection_settings import request_of


def sweep(run: RunPath, *, force: bool = False, **settings: Any) -> dict[str, Any]:
    """Every score, from either end, at several fractions, retrained with several seeds: which one prunes best, and how far.

    `settings`: `scores`, `ends`, `fractions`, `seeds`, `strategies`, `same_steps`, `models`, `workers`; `engine="ray"` with
    `address` for a cluster whose machines all see the run folder. Floors, protected rows and strata are those of the run's
    selection. A training that was done before, by any command, is not done again; after an interruption the same call goes
    on where it was. Lines of a former sweep on the same scores and test rows are kept.

    Returns
    -------
    `results.json["sweep"]`; see `thresher.study.sweep.sweep_arms`. With `models` also {"models": {name: the same}}: the
    rows that the run's scores choose, with other models trained on them (the paper's figure 8).

    Raises
    ------
    UserError
        nothing was scored yet, no test rows, or an unknown score, strategy or setting.
    """
    run = Path(run)
    before = require(run, "score")
    refuse_watched(run)
    with lock(run):
        if not has_test(run):
            raise UserError(
                f"{run}: no test rows to compare on; give them with `thresher compare {run} --test FILE`"
            )
        from thresher.execution.engines import Place, check_engine
        from thresher.study.arms import arms_of
        from thresher.study.sweep import merged, sweep_arms

        used = changed(run, "sweep", settings)[1]
        asked = used.sweep
        manifest = read_manifest(run)
        # The strata that the selection's own strategy brings are not for other ways to choose.
        request = request_of(used.select.model_copy(update={"strategy": "cutoff"}), used.data.label)
        for name in ("prune", "end", "strategy", "options", "seed"):
            del request[name]
        made_of = {"score": before["hash"], "test": manifest["test_hash"], "request": request}
        made_with = {**made_of, **asked.model_dump(mode="json", exclude={"workers", "engine", "address"})}
        former = run_folder.read_results(run).get("sweep") or {}
        same = former.get("made_of") == files.digest(made_of)
        if same and not force and state(run, "sweep", made_with) == "done":
            say(f"sweep: already done in {run}; --force redoes it")
            return dict(former)
        columns = parquet.scan(run / "scores.parquet").collect_schema()
        arms = arms_of(list(columns), asked.scores, asked.ends, asked.strategies, request)
        place = Place(asked.engine, asked.address)
        check_engine(place)
        folders = {name: beside(run, name) for name in asked.models}
        redo(run, "sweep")
        started = time.monotonic()

        def swept(folder: Path, lines: list[dict[str, Any]]) -> dict[str, Any]:
            how = (asked.fractions, asked.seeds, asked.same_steps, asked.workers)
            found = sweep_arms(folder, arms, *how, place=place)
            return {**found, "table": merged(found["table"], lines)}

        found = swept(run, former["table"] if same else [])
        others = former.get("models", {}) if same else {}
        others |= {
            name: swept(folder, others.get(name, {"table": []})["table"]) for name, folder in folders.items()
        }
        change_config(run, "sweep", **settings)
        entry = {**found, "made_of": files.digest(made_of), **({"models": others} if others else {})}
        run_folder.update_results(run, sweep=entry)
        seconds = time.monotonic() - started
        finish(run, "sweep", made_with, seconds=round(seconds, 1))
        trainings = found["trainings"] + sum(others[name]["trainings"] for name in folders)
        say(f"sweep: {trainings:,} trainings, {seconds:,.0f} s")
    return entry
