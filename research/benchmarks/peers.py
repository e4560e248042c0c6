"""Self-influence by thresher and by five other libraries: `.bench-venv/bin/python -m research.benchmarks.peers`.

Trains the bundled encoder (3 layers) with a head on some rows of CLINC150, 10 checkpoints, then has every library
compute the self-influence of the first `--rows` of them in one layer at all checkpoints. Each runs in its own process
with one thread, on the same rows sorted by length; repetitions alternate between the libraries, so a slow minute of
the machine affects all of them. Each of the other libraries gets the batch size at which it is fastest here, only the
layer takes gradients, and backward stops at the layer's input. Loading the model and the rows is not timed; swapping
weights is.

A layer's figures are written when it is done; running the command again resumes with the next layer.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from research.benchmarks.record import machine, missing, read, record
from research.benchmarks.self_influence.table import table
from research.places import DATA

ADAPTERS = Path(__file__).parent / "self_influence"
OURS = "thresher, this layer"
# By name: the adapter in self_influence/peers/, and the layers that the library has rules for.
LIBRARIES = {
    OURS: ("thresher_layer", ("encoder", "linear maps", "classifier")),
    "thresher, all signals": ("thresher_pass", ("encoder", "classifier")),
    "captum TracInCP": ("captum_tracincp", ("encoder", "linear maps", "classifier")),
    "captum TracInCPFast": ("captum_fast", ("classifier",)),
    "dattri": ("dattri_tracin", ("encoder", "linear maps", "classifier")),
    "dattri-llm": ("dattri_llm_norms", ("encoder", "linear maps", "classifier")),
    "kronfluence": ("kronfluence_self", ("linear maps", "classifier")),
    "bergson": ("bergson_collect", ("linear maps",)),
}
LAYERS = ("encoder", "linear maps", "classifier")
QUIET = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def trained(work: Path, rows: int) -> Path:
    """A run folder with ten checkpoints, trained once."""
    work.mkdir(parents=True, exist_ok=True)
    lines = (DATA / "clinc150" / "train.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    chosen = np.random.default_rng(0).permutation(len(lines))[:rows]
    (work / "train.jsonl").write_text("".join(lines[i] for i in chosen), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "thresher",
        "train",
        str(work / "train.jsonl"),
        "--out",
        str(work / "run"),
    ]
    command += ["--text", "text", "--label", "intent", "--epochs", "3", "--checkpoints", "10"]
    command += ["--threads", "1", "--workers", "1", "--quiet"]
    subprocess.run(command, check=True, env=os.environ | QUIET, stdout=subprocess.DEVNULL)
    return work / "run"


def once(run: Path, name: str, layer: str, rows: int, batch_size: int, out: Path) -> dict[str, Any]:
    """One library once, in a process of its own: its seconds, or the last line of its error."""
    given = [str(run), LIBRARIES[name][0], layer, str(rows), str(batch_size), str(out)]
    command = [sys.executable, str(ADAPTERS / "one.py"), *given]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | QUIET)
    lines = (done.stderr if done.returncode else done.stdout).strip().splitlines()
    found = {"error": lines[-1][:300] if lines else f"exit {done.returncode}"} if done.returncode else {}
    found = found or json.loads(lines[-1])
    print(f"{layer}: {name}, {rows} rows, batches of {batch_size}: {found}", file=sys.stderr, flush=True)
    return found


def fastest_batch_size(run: Path, name: str, layer: str, sizes: list[int], out: Path) -> dict[str, Any]:
    """The batch size at which a library takes least time on a few rows; larger ones are tried while that helps."""
    best: dict[str, Any] = {}
    # thresher fills its batches by tokens.
    for size in [0] if name.startswith("thresher") else sorted(sizes):
        trial = once(run, name, layer, 2 * max(sizes), size, out)
        if "error" in trial:
            return best or {"error": trial["error"]}
        if best and trial["cpu"] > best["cpu"]:
            break
        best = {"batch_size": size, "cpu": trial["cpu"]}
    return best


def compared(run: Path, layer: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """All libraries on one layer: rows per second, time over ours, and how near their numbers are to ours."""
    names = [name for name, (_, layers) in LIBRARIES.items() if layer in layers]
    values = {name: arguments.work / f"{LIBRARIES[name][0]}.npy" for name in names}
    found = {
        name: fastest_batch_size(run, name, layer, arguments.batch_sizes, values[name]) for name in names
    }
    if "error" in found[OURS]:
        raise SystemExit(f"{OURS}: {found[OURS]['error']}")
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    for _ in range(arguments.repetitions):
        for name in names:
            if "error" not in found[name]:
                size = found[name]["batch_size"]
                took = once(run, name, layer, arguments.rows, size, values[name])
                runs[name].append(took)
                if "error" in took:
                    found[name] = {"error": took["error"]}
    ours = np.load(values[OURS])
    for name, entry in found.items():
        if "error" in entry:
            continue
        theirs = np.load(values[name])
        entry["version"] = runs[name][0]["version"]
        entry["rank_correlation"] = float(spearmanr(ours, theirs).statistic)
        entry["largest_relative_difference"] = float(np.abs(theirs / ours - 1).max())
        for clock in ("cpu", "wall"):
            seconds = [took[clock] for took in runs[name]]
            over = [took / own[clock] for took, own in zip(seconds, runs[OURS], strict=True)]
            entry[clock] = {
                "seconds": seconds,
                "rows_per_second": arguments.rows / statistics.median(seconds),
                "over_ours": {"median": statistics.median(over), "least": min(over), "most": max(over)},
            }
    facts = {"rows": arguments.rows, "train_rows": arguments.train_rows, "machine": machine()}
    return {**facts, "repetitions": arguments.repetitions, "libraries": found}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train-rows", type=int, default=1500)
    parser.add_argument("--rows", type=int, default=256, help="rows whose self-influence is computed")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS)
    parser.add_argument("--work", type=Path, default=Path("build/self-influence"), help="scratch folder")
    parser.add_argument("--again", action="store_true", help="repeat what is recorded")
    arguments = parser.parse_args()
    run = trained(arguments.work, arguments.train_rows)
    for layer in arguments.layers:
        if missing("self_influence", layer, arguments.again):
            record("self_influence", layer, compared(run, layer, arguments))
    print(table(read()["self_influence"]))


if __name__ == "__main__":
    main()
