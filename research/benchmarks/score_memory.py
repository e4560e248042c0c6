"""Peak memory and rows per second of `score` on synthetic signals of 3 classes and 10 checkpoints.

    python -m research.benchmarks.score_memory --rows 100000 1000000
    python -m research.benchmarks.score_memory --rows 10900000 --folder DIR

Every size is one run folder, as `measure` leaves it (parts of 1,024 rows, of 16,384 beyond two million; ten evaluations), and
is scored in its own process. The memory is the kernel's high-water mark of that process, less what it held before the step;
the growth per row is the difference between the sizes. `--source` names the src of another checkout, to time it in turns with
this one."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from research.benchmarks.record import machine, missing, record
from research.benchmarks.scale_inputs import (
    CHECKPOINTS,
    peak_bytes,
    signals_table,
    synthetic_plan,
    synthetic_run,
)
from thresher.config import ScoreConfig
from thresher.pipeline.score import compute_scores
from thresher.run import FIRST, Run, parquet
from thresher.run.integrity import ROWS_HASH, write_json, write_table
from thresher.run.manifest import write_manifest
from thresher.signals.plan import write_part, write_plan

EVALUATIONS = 10
TABLE = 64 * 1024
MANY = 2_000_000  # with more rows the parts are larger, as the documentation advises


def make_run(folder: Path, n_rows: int) -> Run:
    """A run of random signals that is ready for `score`."""
    run = synthetic_run(folder, n_rows)
    write_manifest(folder, run.manifest)
    plan = replace(synthetic_plan(run), chunk_rows=1024 if n_rows <= MANY else 16384)
    draw = np.random.default_rng(0)
    big = signals_table(TABLE)
    ids = np.arange(n_rows)
    for chunk in range(plan.chunks):
        first, count = plan.rows_of(chunk)
        rows = big[np.sort(draw.integers(0, TABLE, count))]
        own = pl.Series(
            "id", [f"{one * 0x9E3779B97F4A7C15 % 2**64:016x}" for one in ids[first : first + count].tolist()]
        )
        write_part(plan, chunk, rows.with_columns(own))
    names = {"index": range(CHECKPOINTS), "epoch": np.linspace(0.3, 3, CHECKPOINTS)}
    rates = {"encoder_lr": np.full(CHECKPOINTS, 1e-4), "head_lr": np.full(CHECKPOINTS, 1e-3)}
    write_table(plan.folder / "checkpoints.parquet", pl.DataFrame({**names, **rates, "hidden": 384}))
    write_plan(plan, [0.1, 0.2, 0.3])
    parts = parquet.read(sorted(plan.folder.glob("part-*.parquet")), ["id", "label"])
    for step in range(EVALUATIONS):
        correct = parts.select("id", correct=pl.Series(draw.random(n_rows) < 0.7))
        write_table(run.evaluations(FIRST) / f"step-{step:08d}.parquet", correct)
    rows = parts.with_columns(pl.col("label").cast(pl.String), text=pl.lit("a synthetic text"))
    write_table(run.rows_file, rows, {ROWS_HASH: b"synthetic"})
    write_json(
        run.record_file("measure"),
        {"key": "measured", "after": {}, "settings": {}, "finished": "", "seconds": 0.0, "facts": {}},
    )
    return run


def one(folder: Path) -> dict[str, float]:
    """Score one run in this process."""
    run = Run.open(folder)
    import thresher.scores
    import thresher.signals.measure  # noqa: F401

    base, started, cpu = peak_bytes(), time.perf_counter(), time.process_time()
    facts = compute_scores(run, ScoreConfig(), force=True)
    return {
        "rows": run.manifest.n_rows,
        "scores": len(facts["scores"]),
        "seconds": time.perf_counter() - started,
        "cpu_seconds": time.process_time() - cpu,
        "base_bytes": base,
        "peak_bytes": peak_bytes(),
    }


def scored(folder: Path, source: str | None) -> dict[str, float]:
    """The figures of a process that scores one run, with the code of this checkout or of another."""
    path = [
        *([source] if source else []),
        *([os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []),
    ]
    environment = {**os.environ, **({"PYTHONPATH": os.pathsep.join(path)} if path else {})}
    command = [sys.executable, "-m", "research.benchmarks.score_memory", "--one", str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure every size that has no figure yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--folder", type=Path, help="where to keep the runs; default: a temporary folder")
    parser.add_argument("--source", help="src of another checkout, to be measured as --name")
    parser.add_argument("--name", default="this", help="under which the figures are recorded")
    parser.add_argument("--again", action="store_true", help="repeat what is in bench.json")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(given.one)))
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        for rows in given.rows:
            figure = f"{rows:,} rows, {given.name}"
            if not missing("score_memory", figure, given.again):
                continue
            folder = (given.folder or Path(temporary)) / f"rows-{rows}"
            if not (folder / "run.yaml").is_file():
                make_run(folder, rows)
            found = scored(folder, given.source)
            record("score_memory", figure, {**found, "machine": machine()})
            grown = (found["peak_bytes"] - found["base_bytes"]) / rows
            print(f"{figure}: {found['seconds']:.1f} s, {grown:,.0f} bytes per row over the base", flush=True)


if __name__ == "__main__":
    main()
