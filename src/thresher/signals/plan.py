"""What one run's measurement is made of: chunks of rows, the hash that its parts must carry, and what is left to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thresher import parquet, sealed
from thresher.config import MeasureConfig, RunConfig
from thresher.errors import UserError
from thresher.files import digest, file_digest, write
from thresher.run_folder import features_file, read_manifest, words_file
from thresher.training.sound import weights_digests
from thresher.training.words import are_wanted

PLAN_KEY = b"thresher.plan"
CHUNK_KEY = b"thresher.chunk"


@dataclass(frozen=True)
class Plan:
    """The measurement of one training run, cut in chunks of `chunk_rows` rows."""

    run: Path
    name: str
    n_rows: int
    chunk_rows: int
    batch_tokens: int
    dtype: str
    gradients: bool
    hash: str

    @property
    def folder(self) -> Path:
        """Where the parts go."""
        return self.run / "signals" / self.name

    @property
    def chunks(self) -> int:
        """Number of parts."""
        return -(-self.n_rows // self.chunk_rows)

    def part(self, chunk: int) -> Path:
        """The file of one chunk."""
        return self.folder / f"part-{chunk:05d}.parquet"

    def rows_of(self, chunk: int) -> tuple[int, int]:
        """First row and number of rows of a chunk."""
        first = chunk * self.chunk_rows
        return first, min(self.chunk_rows, self.n_rows - first)


def make_plan(run: Path, name: str, manifest: dict[str, Any], gradients: bool) -> Plan:
    """The plan for one training run; its hash covers rows, model, every checkpoint's weights and settings.

    `batch_tokens` and the number of workers are not in the hash: they may not change a score.
    """
    config, measure = manifest["config"], manifest["config"]["measure"]
    made_with = {
        "rows": manifest["rows_hash"],
        "text": config["data"]["text"],
        "model": config["model"],
        "checkpoints": weights_digests(run / "checkpoints" / name),
        "chunk_rows": measure["chunk_rows"],
        "dtype": measure["dtype"],
        "gradients": gradients,
        "signals": sorted(MeasureConfig(**measure).signals),
        "threads": 1,
    }
    if config["model"].get("freeze"):
        made_with["features"] = file_digest(features_file(run))
    sizes = (manifest["n_rows"], measure["chunk_rows"], measure["batch_tokens"], measure["dtype"])
    return Plan(run, name, *sizes, gradients, digest(made_with))


def write_part(plan: Plan, chunk: int, table: pl.DataFrame) -> None:
    """Write one part with its checksum, the hash of what it was made with, and the number of its chunk."""
    about = {PLAN_KEY: plan.hash.encode(), CHUNK_KEY: str(chunk).encode()}
    sealed.write_table(plan.part(chunk), table, about)


def read_part(plan: Plan, chunk: int) -> pl.DataFrame:
    """One part.

    Raises
    ------
    UserError
        it is absent, damaged or another's.
    """
    fault = part_fault(plan, chunk)
    if fault:
        raise UserError(f"{plan.part(chunk)}: {fault}; {_measure_again(plan.run)}")
    return parquet.read(plan.part(chunk))


def part_fault(plan: Plan, chunk: int) -> str | None:
    """Why a part cannot be used: None when it can, "absent" when there is none yet, else what is wrong with it."""
    path = plan.part(chunk)
    fault = sealed.fault(path)
    if fault:
        return fault
    about = sealed.about(path)
    if sealed.KEY not in about or about.get(PLAN_KEY) != plan.hash.encode():
        return "made with other rows, model or settings"
    if about.get(CHUNK_KEY) != str(chunk).encode():
        return "holds the rows of another part"
    return None if sealed.rows(path) == plan.rows_of(chunk)[1] else "incomplete"


def write_plan(plan: Plan, null_logits: list[float] | None) -> None:
    """Keep the plan, and the logits that the model trained on empty input gives to every row, beside the parts."""
    facts = {name: value for name, value in asdict(plan).items() if name != "run"}
    content = {"plan": facts, "null_logits": null_logits}
    write(plan.folder / "plan.json", json.dumps({**content, "checksum": digest(content)}))


def read_plan(run: Path, name: str) -> tuple[Plan, list[float] | None]:
    """The plan that a run was measured by, and the logits of its model on empty input.

    Raises
    ------
    UserError
        it was not measured, or the file is damaged.
    """
    path = run / "signals" / name / "plan.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("checksum") != digest(content):
            raise ValueError("its checksum is not that of its content")
        return Plan(run=run, **content["plan"]), content["null_logits"]
    except FileNotFoundError as error:
        raise UserError(f"{run}: no signals of {name}; {_measure_again(run)}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: damaged ({error}); {_measure_again(run)}") from error


def read_parts(run: Path, name: str) -> tuple[pl.DataFrame, list[float] | None, pl.DataFrame]:
    """What was measured of a run: its rows in order, the logits of its model on empty input, its checkpoints.

    Raises
    ------
    UserError
        a file is absent, damaged or another's.
    """
    plan, null_logits = read_plan(run, name)
    parts = [read_part(plan, chunk) for chunk in range(plan.chunks)]
    checkpoints = sealed.read_table(plan.folder / "checkpoints.parquet", _measure_again(run))
    return pl.concat(parts), null_logits, checkpoints


def signals_faults(run: Path) -> list[str]:
    """What is wrong with the measurements of a run folder, the first fault of each, with the file's name."""
    names = [path.name for path in sorted((run / "checkpoints").glob("run-*"))]
    config = RunConfig.model_validate(read_manifest(run)["config"])
    beside = {features_file(run): config.measure.features, words_file(run): are_wanted(config)}
    return [
        *(fault for name in names if (fault := signals_fault(run, name))),
        *(f"{path}: {fault}" for path, kept in beside.items() if kept and (fault := sealed.fault(path))),
    ]


def signals_fault(run: Path, name: str) -> str | None:
    """What is wrong with one measurement, with the file's name; None where nothing is."""
    try:
        plan, _ = read_plan(run, name)
    except UserError as error:
        return str(error)
    files = {plan.folder / "checkpoints.parquet": sealed.fault(plan.folder / "checkpoints.parquet")}
    files |= {plan.part(chunk): part_fault(plan, chunk) for chunk in range(plan.chunks)}
    return next((f"{path}: {fault}" for path, fault in files.items() if fault), None)


def _measure_again(run: Path) -> str:
    return f"`thresher measure {run}` measures it again"
