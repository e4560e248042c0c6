"""The plan of a measurement: its chunks of rows, the digest that every part must carry, and which parts are missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import polars as pl

from thresher.config import MeasureConfig, Signal
from thresher.errors import UserError
from thresher.run import Run, Training, parquet
from thresher.run.files import digest
from thresher.run.integrity import (
    KEY,
    metadata,
    read_json,
    read_table,
    row_count,
    table_problem,
    write_json,
    write_table,
)
from thresher.run.layout import Layout
from thresher.training.feature_files import features_digest, features_problem
from thresher.training.finished import weights_digests

PLAN_KEY = b"thresher.plan"
CHUNK_KEY = b"thresher.chunk"


@dataclass(frozen=True)
class Inputs:
    """What measuring a chunk needs to know about the rows: columns, class names, and the length limit in tokens."""

    text: tuple[str, ...] = ()
    label: str = "label"
    classes: tuple[str, ...] = ()
    max_length: int = 0


@dataclass(frozen=True)
class Plan:
    """The measurement of one training, cut in chunks of `chunk_rows` rows.

    `signals` are measured beside the logits. `hash` covers rows, model, weights and settings, and is carried by every part.
    """

    run: Layout
    training: Training
    n_rows: int
    chunk_rows: int
    batch_tokens: int
    dtype: str
    signals: tuple[Signal, ...]
    hash: str
    inputs: Inputs = Inputs()

    @property
    def folder(self) -> Path:
        return self.run.signals(self.training)

    @property
    def chunks(self) -> int:
        """Number of parts."""
        return -(-self.n_rows // self.chunk_rows)

    def part(self, chunk: int) -> Path:
        return self.folder / f"part-{chunk:05d}.parquet"

    def rows_of(self, chunk: int) -> tuple[int, int]:
        """First row and number of rows of a chunk."""
        first = chunk * self.chunk_rows
        return first, min(self.chunk_rows, self.n_rows - first)


def make_plan(run: Run, training: Training, measure: MeasureConfig, *, gradients: bool) -> Plan:
    """The plan for one training; with `gradients` it measures the signals of the settings, without them logits alone.

    `batch_tokens` and the number of workers are not in the hash: they may not change a score.
    """
    manifest, model = run.manifest, run.config.model
    signals = measure.signals if gradients else ()
    made_of = {
        "rows": manifest.rows_hash,
        "text": run.config.data.text,
        "model": model.model_dump(mode="json"),
        "checkpoints": weights_digests(run, training),
        "chunk_rows": measure.chunk_rows,
        "dtype": measure.dtype,
        "signals": sorted(signals),
        "threads": 1,
    }
    if model.freeze:
        made_of["features"] = features_digest(run.features_folder())
    data = run.config.data
    return Plan(
        Layout(run.folder),
        training,
        manifest.n_rows,
        measure.chunk_rows,
        measure.batch_tokens,
        measure.dtype,
        signals,
        digest(made_of),
        Inputs(data.text, data.label, manifest.classes, model.max_length),
    )


def write_part(plan: Plan, chunk: int, table: pl.DataFrame) -> None:
    """Write one part with its checksum, the hash of its plan, and the number of its chunk."""
    about = {PLAN_KEY: plan.hash.encode(), CHUNK_KEY: str(chunk).encode()}
    write_table(plan.part(chunk), table, about)


def read_part(plan: Plan, chunk: int) -> pl.DataFrame:
    """One part.

    Raises UserError: it is missing, damaged or of another plan.
    """
    if problem := part_problem(plan, chunk):
        raise UserError(f"{plan.part(chunk)}: {problem}; {_again(plan.run)}")
    return parquet.read(plan.part(chunk))


def part_problem(plan: Plan, chunk: int) -> str | None:
    """Why a part cannot be used: None if it can, "missing" if there is none yet, else what is wrong with it."""
    path = plan.part(chunk)
    if problem := table_problem(path, sealed=False):
        return problem
    about = metadata(path)
    if KEY not in about or about.get(PLAN_KEY) != plan.hash.encode():
        return "made with other rows, model or settings"
    if about.get(CHUNK_KEY) != str(chunk).encode():
        return "holds the rows of another part"
    return None if row_count(path) == plan.rows_of(chunk)[1] else "incomplete"


def write_plan(plan: Plan, null_logits: list[float] | None) -> None:
    """Keep the plan, and the logits that the model trained on empty input gives to every row, beside the parts."""
    own = {"run", "training", "inputs"}
    facts = {name: value for name, value in asdict(plan).items() if name not in own}
    write_json(plan.folder / "plan.json", {"plan": facts, "null_logits": null_logits})


def read_plan(run: Layout, training: Training) -> tuple[Plan, list[float] | None]:
    """The plan that a training was measured by, and the logits of its model on empty input.

    Raises UserError: it was not measured, or the file is damaged.
    """
    path = run.signals(training) / "plan.json"
    try:
        content = read_json(path)
        facts = {**content["plan"], "signals": tuple(content["plan"]["signals"])}
        return Plan(run=Layout(run.folder), training=training, **facts), content["null_logits"]
    except FileNotFoundError as error:
        raise UserError(f"{run.folder}: no signals of {training.name}; {_again(run)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error}); {_again(run)}") from error


def read_parts(run: Layout, training: Training) -> tuple[pl.DataFrame, list[float] | None, pl.DataFrame]:
    """The measurement of a training: its rows in order, the logits of its model on empty input, its checkpoints.

    Raises UserError: a file is missing, damaged or of another plan.
    """
    plan, null_logits = read_plan(run, training)
    parts = [read_part(plan, chunk) for chunk in range(plan.chunks)]
    checkpoints = read_table(plan.folder / "checkpoints.parquet", _again(run))
    return pl.concat(parts), null_logits, checkpoints


def signals_problem(run: Layout, training: Training) -> str | None:
    """The first problem with a measurement, with the name of the file; None if there is none."""
    try:
        plan, _ = read_plan(run, training)
    except UserError as error:
        return str(error)
    path = plan.folder / "checkpoints.parquet"
    if problem := table_problem(path):
        return f"{path}: {problem}"
    found = ((plan.part(chunk), part_problem(plan, chunk)) for chunk in range(plan.chunks))
    return next((f"{path}: {problem}" for path, problem in found if problem), None)


def scored_trainings(run: Run) -> list[Training]:
    """The trainings of a run that scores are made from."""
    return [training for training in run.trainings() if training.kind == "run"]


def measured_problem(run: Run, settings: MeasureConfig) -> str | None:
    """The first problem with the signals of a run, with the name of the file; None if there is none."""
    trainings = scored_trainings(run) or run.measured()
    if problem := next((found for one in trainings if (found := signals_problem(run, one))), None):
        return problem
    if settings.features and (problem := features_problem(run.features_folder())):
        return problem
    problem = table_problem(run.words_file) if settings.words else None
    return f"{run.words_file}: {problem}" if problem else None


def _again(run: Layout) -> str:
    if Run.exists(run.folder) and (opened := Run.open(run.folder)).is_recorded("measure"):
        return opened.again("measure")
    return f"`thresher measure {run.folder}` measures it again"
