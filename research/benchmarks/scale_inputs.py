"""Measure the inputs of the cost model in scale.md and write them into bench.json under `scale`.

    python -m research.benchmarks.scale_inputs --data DATA [--only NAME ...] [--again]

Each input is measured in its own process; inputs that are already recorded are skipped. Rates are per CPU second of
one thread, which other work on the machine disturbs less than wall time. DATA is the folder that holds
snli/train.jsonl."""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

import thresher as th
from research.benchmarks.record import machine, missing, record
from thresher.config import DataConfig, MeasureConfig, ModelConfig, RunConfig, TrainConfig
from thresher.execution import remote_store as store
from thresher.execution.ray import connected
from thresher.execution.remote_folder import RemoteFolder, local_copy
from thresher.models.tokens import tokenise
from thresher.rows import audit, load, save_rows
from thresher.run import FIRST, Run
from thresher.run.files import digest
from thresher.run.integrity import write_table
from thresher.run.layout import Layout
from thresher.run.manifest import Manifest
from thresher.scores import score_runs
from thresher.signals import distribute, measure
from thresher.signals.chunk import measure_chunk
from thresher.signals.plan import Plan, make_plan, part_problem, write_part, write_plan
from thresher.training.fit import fit
from thresher.training.train import new_classifier

CHUNK_ROWS, CHECKPOINTS, CLASSES = 1024, 10, 3
COLUMNS = {"text": ("premise", "hypothesis"), "label": "label", "id": "id"}
Found = dict[str, float]


def peak_bytes() -> int:
    """Largest resident size of this process."""
    line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # noqa: SIM115, PTH123
    return int(line.split()[1]) * 1024


def cpu(function: Callable[..., Any], *given: Any) -> tuple[float, Any]:
    """CPU seconds of a call, all threads, and what it returned."""
    started = time.process_time()
    result = function(*given)
    return time.process_time() - started, result


def snli(data: Path, n: int) -> pl.DataFrame:
    """The first rows of SNLI, repeated with other ids and another last word if there are too few."""
    frame = pl.read_ndjson(data / "snli" / "train.jsonl")
    times = -(-n // frame.height)
    tables = [
        frame.with_columns(pl.col("id") + f"-{i}", pl.col("hypothesis") + ("" if i == 0 else f" {i}"))
        for i in range(times)
    ]
    return pl.concat(tables).head(n)


def rates(data: Path, folder: Path, layers: int) -> Found:
    """Rows per CPU second in training and in measuring, bytes of a checkpoint and of a row's part."""
    torch.set_num_threads(1)
    rows = load(snli(data, 384), **COLUMNS)
    recipe = {"max_steps": 10, "checkpoints": CHECKPOINTS, "forgetting_evaluations": 0, "null_epochs": 0.05}
    run = th.train(rows, out=folder / "R", layers=layers, threads=1, workers=1, **recipe)
    model, tokenizer = new_classifier(ModelConfig(layers=layers), CLASSES, 0)
    tokens = tokenise([rows.table[name].to_list() for name in rows.text], tokenizer, 128)
    config = TrainConfig(epochs=1, forgetting_evaluations=0)
    training = cpu(fit, model, tokens, rows.labels(), config, 0, folder / "state")[0]
    plan = make_plan(run, FIRST, MeasureConfig(), gradients=True)
    few, many = replace(plan, chunk_rows=4), replace(plan, chunk_rows=132)
    measure_chunk(few, 0)
    seconds = {
        size: min(cpu(measure_chunk, plan, 0)[0] for _ in range(3)) for size, plan in ((4, few), (132, many))
    }
    logits = cpu(measure_chunk, replace(many, signals=()), 1)[0]
    per_row = (seconds[132] - seconds[4]) / 128
    measure_chunk(many, 0)
    return {
        "train_rows_per_s": len(rows) / training,
        "measure_rows_per_s": 1 / per_row,
        "logits_rows_per_s": 132 / logits,
        "chunk_s": max(0.0, seconds[4] - 4 * per_row),
        "part_bytes_per_row": many.part(0).stat().st_size / 132,
        "checkpoint_bytes": next(run.checkpoints(FIRST).glob("*/model.safetensors")).stat().st_size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }


def signals_table(n: int, seed: int = 0) -> pl.DataFrame:
    """Signals of random gradients, in the shapes of a run with 10 checkpoints and 3 classes."""
    draw = np.random.default_rng(seed)
    gradients = draw.normal(size=(n, CHECKPOINTS, 12))
    return pl.DataFrame(
        {
            "id": [f"row-{seed}-{i}" for i in range(n)],
            "label": draw.integers(0, CLASSES, n).astype(np.int32),
            "n_tokens": draw.integers(5, 60, n).astype(np.int32),
            "truncated": np.zeros(n, bool),
            "logits": draw.normal(size=(n, CHECKPOINTS, CLASSES)).astype(np.float32),
            "gradient_gram": np.einsum("nah,nbh->nab", gradients, gradients),
            "gradient_std": draw.random((n, 3)),
            "encoder_sq_norm": draw.random((n, CHECKPOINTS)).astype(np.float32),
            "classifier_sq_norm": draw.random((n, CHECKPOINTS)).astype(np.float32),
        }
    )


def synthetic_run(folder: Path, n_rows: int) -> Run:
    """A run with nothing but what the engines and `read_signals` look at."""
    data = DataConfig(train="train.jsonl", text=("premise", "hypothesis"), label="label")
    about = {
        "thresher": th.__version__,
        "versions": {},
        "created": "",
        "key": "synthetic",
        "rows_hash": "synthetic",
    }
    rows = {"test_hash": None, "n_rows": n_rows, "n_test": 0, "classes": ("a", "b", "c")}
    run = Run(folder, Manifest(**about, **rows, config=RunConfig(data=data)))
    run.model_folder.mkdir(parents=True)
    (folder / "run.yaml").write_text("synthetic\n")
    return run


def synthetic_plan(run: Run) -> Plan:
    """A plan whose parts are written by hand."""
    signals = MeasureConfig().signals
    return Plan(run, FIRST, run.manifest.n_rows, CHUNK_ROWS, 1024, "float32", signals, digest("synthetic"))


def scoring(data: Path, folder: Path, n_rows: int) -> Found:
    """CPU time and peak memory of reading the parts of a run and of scoring them, and of the look at each on resume."""
    run = synthetic_run(folder, n_rows)
    plan = synthetic_plan(run)
    for chunk in range(plan.chunks):
        write_part(plan, chunk, signals_table(plan.rows_of(chunk)[1], chunk))
    names = {"index": range(CHECKPOINTS), "epoch": np.linspace(0.3, 3, CHECKPOINTS)}
    rates = {"encoder_lr": np.full(CHECKPOINTS, 1e-4), "head_lr": np.full(CHECKPOINTS, 1e-3)}
    table = pl.DataFrame({**names, **rates, "hidden": 384})
    write_table(plan.folder / "checkpoints.parquet", table)
    write_plan(plan, [0.1, 0.2, 0.3])
    ids = pl.read_parquet(plan.folder / "part-*.parquet", columns=["id"])
    for step in range(10):
        correct = ids.with_columns(correct=pl.Series(np.random.default_rng(step).random(n_rows) < 0.7))
        write_table(run.evaluations(FIRST) / f"step-{step:08d}.parquet", correct)
    del ids, correct
    looking = cpu(lambda: [part_problem(plan, chunk) for chunk in range(plan.chunks)])[0]
    base = peak_bytes()
    reading, tables = cpu(measure.read_signals, run, FIRST)
    scored = cpu(score_runs, [tables])[0]
    return {
        "rows": n_rows,
        "look_s_per_part": looking / plan.chunks,
        "read_s_per_million_rows": reading * 1e6 / n_rows,
        "score_s_per_million_rows": scored * 1e6 / n_rows,
        "peak_bytes_per_row": (peak_bytes() - base) / n_rows,
        "synthetic_part_bytes_per_row": sum(path.stat().st_size for path in plan.folder.glob("part-*"))
        / n_rows,
    }


def intake(data: Path, folder: Path, n_rows: int) -> Found:
    """CPU time and peak memory of loading, hashing, auditing and writing rows, and of reading one chunk of them."""
    frame = snli(data, n_rows)
    frame.write_parquet(folder / "train.parquet")
    del frame
    base = peak_bytes()
    loading, rows = cpu(lambda: load(folder / "train.parquet", **COLUMNS))
    hashing = cpu(rows.hash)[0]
    loaded = peak_bytes()
    auditing = cpu(audit, rows)[0]
    audited = peak_bytes()
    writing = cpu(save_rows, rows, folder / "rows.parquet")[0]
    middle = n_rows // 2 // CHUNK_ROWS * CHUNK_ROWS
    slicing = cpu(
        lambda: [
            pl.scan_parquet(folder / "rows.parquet").slice(middle, CHUNK_ROWS).collect() for _ in range(10)
        ]
    )[0]
    # Copies compress to nothing; SNLI's own rows do not.
    own = pl.read_ndjson(data / "snli" / "train.jsonl").height
    save_rows(load(snli(data, own), **COLUMNS), folder / "own.parquet")
    million = 1e6 / n_rows
    return {
        "rows": n_rows,
        "load_s_per_million_rows": loading * million,
        "hash_s_per_million_rows": hashing * million,
        "audit_s_per_million_rows": auditing * million,
        "write_s_per_million_rows": writing * million,
        "load_peak_bytes_per_row": (loaded - base) / n_rows,
        "audit_peak_bytes_per_row": (audited - base) / n_rows,
        "rows_bytes_per_row": (folder / "own.parquet").stat().st_size / own,
        "slice_s": slicing / 10,
    }


def echo(plan: Plan, folder: RemoteFolder, chunk: int, slab: str | None) -> bytes:
    """The part of a chunk with nothing to compute, so that what is left is the way there and back."""
    here = replace(plan, run=Layout(local_copy(folder)))
    write_part(here, chunk, echoed_table())
    content = here.part(chunk).read_bytes()
    here.part(chunk).unlink()
    return content


@cache
def echoed_table() -> pl.DataFrame:
    """The signals of every chunk."""
    return signals_table(CHUNK_ROWS)


def ray_overhead(data: Path, folder: Path) -> Found:
    """What a chunk costs the driver: to hand it out, take its part, write it and look at it; CPU and clock."""
    plan, settings = (
        synthetic_plan(synthetic_run(folder, 400 * CHUNK_ROWS)),
        MeasureConfig(workers=2, engine="ray"),
    )
    distribute.measure_remotely = echo
    with connected(None):
        list(distribute.measure_chunks(plan, range(20), settings))
        started = time.perf_counter()
        seconds = cpu(lambda: list(distribute.measure_chunks(plan, range(400), settings)))[0]
        clock = time.perf_counter() - started
    return {"chunks": 400, "driver_cpu_s_per_chunk": seconds / 400, "clock_s_per_chunk": clock / 400}


def store_rates(data: Path, folder: Path) -> Found:
    """Bytes per CPU second of this side to and from an S3 server on the loopback, in objects of 64 MB."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["from moto.server import main", f"main(['-H', '127.0.0.1', '-p', '{port}'])"]
    server = subprocess.Popen(
        [sys.executable, "-c", "; ".join(command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        os.environ |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": "us-east-1"}
        os.environ |= {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        while socket.socket().connect_ex(("127.0.0.1", port)):
            time.sleep(0.2)
        opened = store.open_store("s3://bench/prefix")
        opened.fs.mkdir("bench")
        contents = [np.random.default_rng(i).bytes(64 << 20) for i in range(3)]
        up, digests = cpu(lambda: [store.put(opened, content) for content in contents])
        down = cpu(lambda: [store.fetch(opened, name, folder) for name in digests])[0]
    finally:
        server.kill()
    total = 3 * (64 << 20)
    return {"upload_bytes_per_cpu_s": total / up, "download_bytes_per_cpu_s": total / down}


MEASURED: dict[str, tuple[Callable[..., Found], tuple[int, ...]]] = {
    "layers_3": (rates, (3,)),
    "layers_6": (rates, (6,)),
    "scoring_250k": (scoring, (250_000,)),
    "scoring_1m": (scoring, (1_000_000,)),
    "intake_250k": (intake, (250_000,)),
    "intake_1m": (intake, (1_000_000,)),
    "ray": (ray_overhead, ()),
    "store": (store_rates, ()),
}


def main() -> None:
    """Measure everything, or some of it, and merge it into bench.json."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", nargs="+", default=list(MEASURED), choices=MEASURED)
    parser.add_argument("--again", action="store_true", help="measure what is there, too")
    parser.add_argument("--one", choices=MEASURED, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        function, given = MEASURED[arguments.one]
        with tempfile.TemporaryDirectory() as folder:
            found = function(arguments.data, Path(folder), *given)
        print(json.dumps(found))
        return
    for name in arguments.only:
        if missing("scale", name, arguments.again):
            command = [
                sys.executable,
                "-m",
                "research.benchmarks.scale_inputs",
                "--data",
                str(arguments.data),
                "--one",
                name,
            ]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found = json.loads(done.stdout.splitlines()[-1])
            record("scale", name, {**found, "machine": machine()})
            print(name, found)


if __name__ == "__main__":
    main()
