"""The steps after training: measure, score, select, compare, report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from thresher.api.arguments import Dtype, End, Normalise, ScoreOptions, given, with_arguments
from thresher.config import RunConfig, Signal
from thresher.errors import UserError
from thresher.pipeline import select as selecting
from thresher.pipeline.measure import measure as measure_step
from thresher.pipeline.pilot import with_trust
from thresher.pipeline.report import NoSettings
from thresher.pipeline.report import report as report_step
from thresher.pipeline.score import score as score_step
from thresher.pipeline.selection_settings import carried
from thresher.pipeline.test_rows import load_test, place_of, set_test
from thresher.progress import say
from thresher.results import Comparison, Measured
from thresher.rows import read_rows
from thresher.run import Run, RunLike
from thresher.run.integrity import read_table, table_problem
from thresher.run.layout import REPORT
from thresher.run.lock import lock
from thresher.settings import changed
from thresher.signature import public


@public
def measure(
    run: RunLike,
    *,
    signals: Sequence[Signal] | None = None,
    features: bool | None = None,
    words: bool | Literal["auto"] | None = None,
    chunk_rows: int | None = None,
    batch_tokens: int | None = None,
    dtype: Dtype | None = None,
    workers: int | None = None,
    engine: str | None = None,
    address: str | None = None,
    store: str | None = None,
    cores: int | None = None,
    force: bool = False,
) -> Measured:
    """Measure every signal in one pass over the rows; resumes after an interruption.

    Only `signals`, `features` and `words` change which scores can be computed; `engine="ray"` measures on many machines, with
    `address`, `store` and `cores`.

    Raises
    ------
    UserError
        nothing was trained yet, a checkpoint is missing or damaged, or an engine that cannot start.
    """
    arguments, opened = locals(), Run.open(run)
    facts = measure_step(opened, with_arguments(opened.config, arguments, "measure").measure, force=force)
    return Measured(**facts)


@public
def score(run: RunLike, *, options: ScoreOptions | None = None, force: bool = False) -> pl.DataFrame:
    """Compute every score that the signals allow, raw and normalised; one line per training row.

    `options` per score, e.g. `{"vog": {"window": "late"}, "el2n": {"epoch": 1}}`; by default those in `run.yaml`.

    Raises
    ------
    UserError
        nothing was measured yet, or an unknown score, option or value.
    """
    opened = Run.open(run)
    for name, values in (options or {}).items():
        if not isinstance(values, Mapping):
            raise UserError(
                f"options of {name} are {values}; give them by score and name, e.g. {{'vog': {{'window': 'late'}}}}"
            )
    plain = {name: dict(values) for name, values in (options or {}).items()}
    config = opened.config if options is None else changed(opened.config, "score", {"options": plain})
    score_step(opened, config.score, force=force)
    return opened.scores()


@public
def select(
    run: RunLike,
    *,
    prune: float | Literal["auto"] | None = None,
    by: str | None = None,
    end: End | None = None,
    normalise: Normalise | None = None,
    strategy: str | None = None,
    options: Mapping[str, float] | None = None,
    stratify: str | None = None,
    floor: int | None = None,
    floor_group: str | Sequence[str] | None = None,
    protect: str | Sequence[str] | None = None,
    seed: int | None = None,
    force: bool = False,
) -> pl.DataFrame:
    """Choose the rows to keep, and write them and the dropped ones in the format of the input.

    Returns `id, key, kept`; the files are `RUN/kept.*` and `RUN/dropped.*`. Every class keeps at least `floor` rows; a warning
    names the classes that pruning alone would empty. `prune="auto"` drops the largest share that `how_much` finds.

    Raises
    ------
    UserError
        nothing was scored yet, an invalid selection, or a source that has changed since it was read.
    """
    arguments, opened = locals(), Run.open(run)
    config = with_arguments(opened.config, arguments, "select")
    facts = selection(opened, config, given(arguments, "select"), force=force)
    return read_table(opened.selection_file(facts["name"]), f"`thresher select {opened}` makes it again")


def selection(
    run: Run, config: RunConfig, named: Mapping[str, Any], *, force: bool = False
) -> dict[str, Any]:
    """Select by a configuration; `named` are the settings given in this call. Returns the facts of the selection."""
    run.require("score")
    used = config.select
    if used.prune == "auto":
        from thresher.experiments.how_much import Search, with_share

        used = with_share(run, Search(how_much=config.how_much, select=used, compare=config.compare))
    used = with_trust(run, used, config.compare.same_steps)
    facts = selecting.select(run, used, force=force)
    if from_file := carried(used, [*named, "prune"] if config.select.prune == "auto" else named):
        say(f"select: from run.yaml: {from_file}")
    return facts


@public
def compare(
    run: RunLike,
    *,
    test: object = None,
    seeds: int | None = None,
    most_seeds: int | None = None,
    same_steps: bool | None = None,
    proof_rows: int | None = None,
    bootstrap: int | None = None,
    workers: int | None = None,
    force: bool = False,
) -> Comparison:
    """Test the last selection by retraining on the kept rows, on as many random rows and on all rows.

    `seeds` trainings per arm; with `most_seeds` more are added up to that number, until it is decided whether the rows can be
    dropped with a loss below the margin of the run (`how_much.margin`). With `same_steps` they take as many steps on fewer
    rows, and otherwise as many epochs. With `proof_rows` all arms are restricted to a sample of that many rows,
    stratified by class. `test`: test rows, or a path, a frame or a dataset, where the run has none or should have others.

    Raises
    ------
    UserError
        nothing was selected yet, or there are no test rows.
    """
    from thresher.experiments.compare import compare as compare_step
    from thresher.experiments.compare import comparison
    from thresher.experiments.proof_rows import tell_idle

    arguments, opened = locals(), Run.open(run)
    opened.require("select")
    if test is not None:
        with lock(opened.folder):
            rows = read_rows(opened.rows_file)
            found = load_test(test, rows, opened.config.data)
            if found.hash() != opened.manifest.test_hash or table_problem(opened.test_file):
                if opened.tests_held_out:
                    say(
                        f"compare: on other test rows than the {opened.manifest.n_test:,} held out, which stay untrained and kept"
                    )
                opened = set_test(opened, rows, found, place_of(test) or found.source.name)
    settings = with_arguments(opened.config, arguments, "compare").compare
    if most_seeds is None:
        done = opened.current("compare")
        # Seeds that a whole run has added are not taken away again.
        same = done is not None and done.settings["seeds"] == settings.seeds
        most = done.settings.get("most_seeds", settings.seeds) if done and same else settings.seeds
        settings = settings.model_copy(update={"most_seeds": most})
    tell_idle(settings.proof_rows, opened.manifest.n_rows)
    facts = compare_step(opened, settings, force=force)
    return Comparison(**comparison(opened, facts["name"]))


@public
def report(run: RunLike, *, force: bool = False) -> Path:
    """Write the report of a run, one self-contained HTML page, and return its path.

    Raises
    ------
    UserError
        not a run folder, or it cannot be written.
    """
    opened = Run.open(run)
    report_step(opened, NoSettings(), force=force)
    return opened.folder / REPORT
