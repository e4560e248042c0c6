"""Peak memory and rows per second of taking in rows: reading, hash, audit against test rows, saving, and writing back.

    python -m research.benchmarks.intake --rows 250000 1000000 --formats jsonl parquet

The rows are made up: commands of 4 to 12 words of a list of 2,000 (an eighth of them repeated in other letters, some of these
with another label), 60 classes, and a tenth as many test rows, half of them equal to a training row. Every size and
format is taken in by its own process; the memory is the kernel's high-water mark of that process, less what it held before.
`--source` names the src of another checkout, to time it in turns with this one."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl

from research.benchmarks.record import machine, missing, record
from research.benchmarks.scale_inputs import peak_bytes

COLUMNS = {"text": "text", "label": "label"}


def make_rows(folder: Path, rows: int, form: str) -> None:
    """Training rows and a tenth as many test rows."""
    draw = np.random.default_rng(0)
    words = np.array([f"{chr(97 + one % 26)}w{one}" for one in range(2000)])
    texts = [
        " ".join(words[draw.integers(0, 2000, count)])
        for count in draw.integers(4, 13, rows - rows // 8).tolist()
    ]
    texts += [texts[at].upper() for at in draw.integers(0, len(texts), rows // 8).tolist()]
    labels = [f"intent_{one:02d}" for one in draw.integers(0, 60, rows).tolist()]
    table = pl.DataFrame({"text": texts, "label": labels})
    test = pl.concat(
        [
            table.gather_every(20),
            table.gather_every(20).with_columns(pl.col("text") + " please"),
        ]
    )
    folder.mkdir(parents=True, exist_ok=True)
    for name, one in (("train", table), ("test", test)):
        path = folder / f"{name}.{form}"
        one.write_ndjson(path) if form == "jsonl" else one.write_parquet(path)


def one(folder: Path, form: str) -> dict[str, float | str]:
    """Take in the rows of one folder in this process."""
    from thresher.rows import audit, load, read_rows, save_rows, write_back

    base, found, started = peak_bytes(), {}, time.perf_counter()
    cpu = time.process_time()

    def stage(name: str) -> None:
        nonlocal started, cpu
        found[f"{name}_s"] = round(time.perf_counter() - started, 2)
        found[f"{name}_cpu_s"] = round(time.process_time() - cpu, 2)
        found[f"{name}_peak_bytes"] = peak_bytes() - base
        started, cpu = time.perf_counter(), time.process_time()

    rows = load(folder / f"train.{form}", **COLUMNS)
    test = load(folder / f"test.{form}", **COLUMNS, classes=rows.classes)
    stage("load")
    digest = rows.hash()
    stage("hash")
    report = audit(rows, test)
    stage("audit")
    save_rows(rows, folder / "rows.parquet")
    stage("save")
    del rows, test
    rows = read_rows(folder / "rows.parquet")
    stage("read")
    write_back(rows, np.arange(len(rows)) % 3 > 0, folder / "kept")
    stage("write_back")
    kinds = {name: report[name]["rows"] for name in ("duplicates", "conflicting")}  # type: ignore[literal-required]
    overlap = report["overlap"]
    assert overlap is not None
    return {"rows": len(rows), "hash": digest, **found, **kinds, "overlap": overlap["test_rows_in_train"]}


def taken_in(folder: Path, form: str, source: str | None) -> dict[str, float | str]:
    """The figures of a process of its own, with the code of this checkout or of another."""
    path = [
        *([source] if source else []),
        *([os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []),
    ]
    environment = {**os.environ, **({"PYTHONPATH": os.pathsep.join(path)} if path else {})}
    command = [sys.executable, "-m", "research.benchmarks.intake", "--one", str(folder), form]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measure every size and format that has no figure yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--formats", nargs="+", default=["jsonl", "parquet"], choices=["jsonl", "parquet"])
    parser.add_argument("--source", help="src of another checkout, to be measured as --name")
    parser.add_argument("--name", default="this", help="under which the figures are recorded")
    parser.add_argument("--again", action="store_true", help="repeat what is in bench.json")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "FORMAT"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(one(Path(given.one[0]), given.one[1])))
        return
    with tempfile.TemporaryDirectory() as temporary:
        for rows in given.rows:
            for form in given.formats:
                figure = f"{rows:,} rows, {form}, {given.name}"
                if missing("intake", figure, given.again):
                    folder = Path(temporary) / f"{rows}-{form}"
                    make_rows(folder, rows, form)
                    found = taken_in(folder, form, given.source)
                    record("intake", figure, {**found, "machine": machine()})
                    print(figure, found, flush=True)


if __name__ == "__main__":
    main()
