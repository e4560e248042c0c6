"""The steps on a run folder, as the command line and notebooks call them.

rows = th.load("train.jsonl", text="text", label="label")
run = th.train(rows, out="RUN", test="test.jsonl")
th.measure(run); th.score(run); th.select(run, prune=0.45, by="vog"); th.compare(run); th.report(run)

or all of them in one call: th.run(rows, out="RUN", test="test.jsonl", prune=0.45)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thresher.begin import data_config
from thresher.config import RunConfig
from thresher.rows import Rows, load
from thresher.run_folder import RunPath, has_test, require, stamp
from thresher.settings import with_settings
from thresher.steps.compare import compare
from thresher.steps.diet import prune_while_training
from thresher.steps.explain import explain
from thresher.steps.how_much import how_much
from thresher.steps.map import map_rows
from thresher.steps.measure import measure
from thresher.steps.noise import noise
from thresher.steps.report import report
from thresher.steps.score import score
from thresher.steps.select import select
from thresher.steps.selection_settings import check_selection
from thresher.steps.suspects import suspects
from thresher.steps.sweep import sweep
from thresher.steps.train import train
from thresher.steps.watch import watch

__all__ = [
    "compare",
    "explain",
    "how_much",
    "load",
    "map_rows",
    "measure",
    "noise",
    "prune_while_training",
    "report",
    "run",
    "score",
    "select",
    "suspects",
    "sweep",
    "train",
    "watch",
]


def run(
    rows: Rows,
    *,
    out: RunPath,
    test: Any = None,
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
    if not isinstance(rows, Rows) or config is None:
        config = RunConfig(data=data_config(rows, test))
    resolved = with_settings(config, **settings)
    check_selection(resolved.select, rows.groups, rows.label)
    if stamp(Path(out), "measure") is None:
        from thresher.execution.engines import Place, check_engine

        measuring = resolved.measure
        check_engine(Place(measuring.engine, measuring.address), measuring.store)
    proof_seeds = resolved.compare.seeds if test is not None else 0
    folder = train(rows, out=out, test=test, config=resolved, force=force, proof_seeds=proof_seeds)
    measure(folder, **resolved.measure.model_dump())
    score(folder, options=resolved.scores)
    if resolved.select.prune == "auto":
        # Asked for here, where the settings of the search are known; select then finds it done.
        chosen = resolved.select.model_dump(exclude={"prune", "seed"})
        how_much(folder, **resolved.how_much.model_dump(), **chosen, **resolved.compare.model_dump())
    select(folder, **resolved.select.model_dump())
    tested = has_test(folder)
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
