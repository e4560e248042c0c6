"""Measure every signal in one pass over the rows."""

from __future__ import annotations

from thresher.config import MeasureConfig
from thresher.progress import say
from thresher.rows import check_rows
from thresher.run import Run
from thresher.run.lock import lock
from thresher.run.steps import Facts, remove_step, step
from thresher.training.finished import check_trainings
from thresher.training.words import are_wanted


def measure(run: Run, settings: MeasureConfig, *, force: bool = False) -> Facts:
    """Measure the signals that a run is scored by; see `thresher.api.measure`."""
    # Decided here, as the proxy's own run does not know that it is one.
    used = settings.model_copy(update={"words": are_wanted(run.config, settings)})
    if run.manifest.source != "proxy":
        return measure_signals(run, used, force=force)
    with lock(run.folder):
        return measure_signals(run.scoring, used, force=force)


def intact(run: Run, facts: Facts) -> str | None:
    """The first problem with the signals of a finished pass."""
    from thresher.signals.plan import measured_problem

    record = run.record("measure")
    return measured_problem(run, MeasureConfig.model_validate(record.settings)) if record else None


def ready(run: Run, settings: MeasureConfig) -> None:
    """Refuse damaged rows or checkpoints, and an engine that cannot start."""
    from thresher.execution.engines import check_engine, place_of

    check_rows(run.rows_file)
    check_trainings(run)
    check_engine(place_of(settings), settings.store)


@step(
    "measure",
    after="train",
    ignore=("batch_tokens", "workers", "engine", "address", "store", "cores"),
    check=ready,
    problem=intact,
    clear=lambda run, settings: remove_step(run, "measure"),
    own=True,
)
def measure_signals(run: Run, settings: MeasureConfig) -> Facts:
    """Measure what is not measured yet; returns what `measure_run` does."""
    if run.manifest.task == "text":
        from thresher.pipeline.measure_texts import measure_texts

        return measure_texts(run, settings)
    from thresher.signals.measure import measure_run

    facts = measure_run(run, settings)
    for reason in facts["refused"].values():
        say(f"measure: {reason}; scores that need them take another layer or are left out")
    if facts["truncated"]:
        say(f"measure: {facts['truncated']:,} rows were longer than the model takes and were cut")
    say(f"measure: {facts['rows']:,} rows x {facts['checkpoints']} checkpoints")
    return facts
