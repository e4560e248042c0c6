"""Seconds and peak memory of every selection strategy on a synthetic table of scores.

    python -m research.benchmarks.selection --rows 10900000
    python -m research.benchmarks.selection --rows 100000000 --modes streamed

Writes Parquet shards (id, score, domain) to a temporary folder, then runs each strategy in its own process, on the
table in memory (`select`) and streamed from the shards (`select_from_table`). The figures include reading the shards
and starting Python; the peak is the largest resident set size of the process."""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from research.benchmarks.record import machine, missing, record
from thresher.selection import find, select, select_from_table, strategies

SHARD_ROWS = 1_000_000
DOMAINS = 40


def write_shards(folder: Path, rows: int) -> None:
    """Shards of at most a million rows: ids of 12 characters, scores in steps of 1e-4 (so that many are equal)."""
    generator = np.random.default_rng(0)
    for start in range(0, rows, SHARD_ROWS):
        count = min(SHARD_ROWS, rows - start)
        domain = np.minimum(generator.geometric(0.12, count), DOMAINS)
        pl.DataFrame(
            {
                "id": pl.int_range(start, start + count, eager=True).cast(pl.String).str.zfill(12),
                "score": generator.normal(size=count).round(4),
                "domain": pl.Series(domain).cast(pl.String),
            }
        ).write_parquet(folder / f"shard-{start // SHARD_ROWS:05d}.parquet")


def one(folder: Path, mode: str, strategy: str, floor: int) -> dict[str, float]:
    """Run one strategy in this process: seconds, peak resident bytes and rows kept."""
    started = time.perf_counter()
    entry, out = find(strategy), folder / "kept" / f"{strategy}.parquet"
    request: dict[str, Any] = {
        "by": ("score", "score") if entry.scores == 2 else "score",
        "prune": 0.5,
        "strategy": strategy,
        "stratify": "domain" if entry.needs_stratify else None,
        "floor": floor,
        "floor_group": ("domain",) if floor else (),
    }
    if mode == "streamed":
        kept = select_from_table(folder, out=out, **request)["n_kept"]
        out.unlink()
    else:
        kept = int(select(pl.read_parquet(folder / "*.parquet"), **request)["kept"].sum())
    return {"seconds": time.perf_counter() - started, "peak_bytes": peak_bytes(), "kept": kept}


def peak_bytes() -> int:
    """Largest resident size of this process, from the kernel's high-water mark if there is one, which excludes the parent."""
    status = Path("/proc/self/status")
    if status.is_file():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Write the shards, run every strategy in every mode that has no figure yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--strategies", nargs="+", default=list(strategies()))
    parser.add_argument("--modes", nargs="+", default=["memory", "streamed"], choices=["memory", "streamed"])
    parser.add_argument("--floor", type=int, default=0, help="rows kept of every domain")
    parser.add_argument("--folder", type=Path, help="where to put the shards; default: a temporary folder")
    parser.add_argument("--again", action="store_true", help="repeat what is in bench.json")
    parser.add_argument("--one", nargs=3, metavar=("FOLDER", "MODE", "STRATEGY"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        folder, mode, strategy = arguments.one
        print(json.dumps(one(Path(folder), mode, strategy, arguments.floor)))
        return
    wanted = [
        (mode, strategy)
        for mode in arguments.modes
        for strategy in arguments.strategies
        if missing("selection", figure(arguments, mode, strategy), arguments.again)
    ]
    if not wanted:
        return
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        write_shards(Path(folder), arguments.rows)
        for mode, strategy in wanted:
            command = [sys.executable, "-m", "research.benchmarks.selection", "--floor", str(arguments.floor)]
            command += ["--one", folder, mode, strategy]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            name = figure(arguments, mode, strategy)
            record("selection", name, {"mode": mode, **found, "machine": machine()})
            print(f"{name}: {found['seconds']:.2f} s, {found['peak_bytes'] / 2**30:.2f} GiB", flush=True)


def figure(arguments: argparse.Namespace, mode: str, strategy: str) -> str:
    """The name of a figure in `bench.json`."""
    floor = f", floor {arguments.floor}" if arguments.floor else ""
    return f"{arguments.rows:,} rows, {mode}, {strategy}{floor}"


if __name__ == "__main__":
    main()
