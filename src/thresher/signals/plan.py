"""What one run's measurement is made of: chunks of rows, the hash that its parts must carry, and what is left to do."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from thresher.run_folder import digest, file_digest, write
from thresher.training.checkpoints import list_checkpoints
from thresher.training.features import features_file

PLAN_KEY = b"thresher.plan"


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
    """The plan for one training run; its hash covers the rows, every checkpoint's bytes and the settings.

    `batch_tokens` and the number of workers are not in the hash: they may not change a score.
    """
    measure = manifest["config"]["measure"]
    checkpoints = [
        [path.name, file_digest(path / "model.safetensors")]
        for path in list_checkpoints(run / "checkpoints" / name)
    ]
    made_with = {
        "rows": manifest["rows_hash"],
        "checkpoints": checkpoints,
        "chunk_rows": measure["chunk_rows"],
        "dtype": measure["dtype"],
        "gradients": gradients,
        "threads": 1,
    }
    if manifest["config"]["model"]["freeze"]:
        made_with["features"] = file_digest(features_file(run))
    sizes = (manifest["n_rows"], measure["chunk_rows"], measure["batch_tokens"], measure["dtype"])
    return Plan(run, name, *sizes, gradients, digest(made_with))


def write_part(plan: Plan, chunk: int, table: pl.DataFrame) -> None:
    """Write one part with page checksums and the hash of what it was made with."""
    arrow = table.to_arrow()
    arrow = arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), PLAN_KEY: plan.hash.encode()})
    write(
        plan.part(chunk),
        lambda path: pq.write_table(arrow, path, compression="zstd", write_page_checksum=True),
    )


def read_part(path: Path) -> pl.DataFrame:
    """One part, page checksums verified."""
    frame = pl.from_arrow(pq.read_table(path, page_checksum_verification=True))
    assert isinstance(frame, pl.DataFrame)
    return frame


def part_fault(plan: Plan, chunk: int) -> str | None:
    """Why a part cannot be used: None when it can, "absent" when there is none yet, else what is wrong with it."""
    path = plan.part(chunk)
    if not path.is_file():
        return "absent"
    try:
        made_with = (pq.read_metadata(path).metadata or {}).get(PLAN_KEY)
        rows = read_part(path).height
    except (OSError, pa.ArrowException, ValueError) as error:
        return f"damaged ({str(error).splitlines()[0][:80]})"
    if made_with != plan.hash.encode():
        return "made with other rows, model or settings"
    return None if rows == plan.rows_of(chunk)[1] else "incomplete"


def write_null_logits(plan: Plan, logits: list[float] | None) -> None:
    """Keep the logits that the model trained on empty input gives to every row."""
    write(plan.folder / "null_logits.json", json.dumps(logits))
