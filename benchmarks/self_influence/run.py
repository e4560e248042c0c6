"""Self-influence by thresher and by other libraries: the same model, layer, rows and checkpoints.

    .bench-venv/bin/python benchmarks/self_influence/run.py --data train.jsonl --text text --label intent

Trains the bundled encoder with a head on some of the rows (10 checkpoints), then lets every library compute the self-influence
of the first `--rows` of them. Each runs in a process of its own with one thread; repetitions alternate between the libraries,
so that a slow minute of the machine hits all of them. Each gets the batch size at which it is fastest here, of those
in `--batch-sizes`. Reading the model and the rows is not counted; swapping weights is. Writes the key "self_influence" of
`--out` and nothing else in it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr
from table import table

HERE = Path(__file__).resolve().parent
# Name shown, adapter, and what the adapter can do.
PEERS = {
    "thresher, this layer": ("thresher_layer", ("encoder", "linear maps", "classifier")),
    "thresher, all signals": ("thresher_pass", ("encoder", "classifier")),
    "captum TracInCP": ("captum_tracincp", ("encoder", "linear maps", "classifier")),
    "captum TracInCPFast": ("captum_fast", ("classifier",)),
    "dattri": ("dattri_tracin", ("encoder", "linear maps", "classifier")),
    "dattri-llm": ("dattri_llm_norms", ("encoder", "linear maps", "classifier")),
    "kronfluence": ("kronfluence_self", ("linear maps", "classifier")),
    "bergson": ("bergson_collect", ("linear maps",)),
}
OURS = "thresher, this layer"
LAYERS = ("encoder", "linear maps", "classifier")


def trained(arguments: argparse.Namespace) -> Path:
    """A run folder with ten checkpoints, trained once."""
    folder = arguments.work / "run"
    head = arguments.work / "train.jsonl"
    if not head.is_file():
        arguments.work.mkdir(parents=True, exist_ok=True)
        lines = arguments.data.read_text(encoding="utf-8").splitlines(keepends=True)
        # Every k-th row: files are often sorted by class.
        step = max(1, len(lines) // arguments.train_rows)
        head.write_text("".join(lines[::step][: arguments.train_rows]), encoding="utf-8")
    command = [sys.executable, "-m", "thresher", "train", str(head), "--out", str(folder)]
    command += ["--text", arguments.text, "--label", arguments.label, "--epochs", "3", "--checkpoints", "10"]
    subprocess.run([*command, "--threads", "1", "--workers", "1", "--quiet"], check=True, env=quiet())
    return folder


def quiet() -> dict[str, str]:
    """One thread, nothing looked up in a network."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def measured(run: Path, peer: str, layer: str, rows: int, batch_size: int, out: Path) -> dict[str, Any]:
    """One library once, in a process of its own: its seconds, or the last line of its error."""
    command = [sys.executable, str(HERE / "one.py"), str(run), peer, layer, str(rows), str(batch_size)]
    done = subprocess.run([*command, str(out)], capture_output=True, text=True, env=quiet())
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode != 0:
        return {"error": lines[-1][:300] if lines else f"exit status {done.returncode}"}
    return json.loads(lines[-1])


def fastest_batch_size(
    run: Path, name: str, layer: str, arguments: argparse.Namespace, out: Path
) -> dict[str, Any]:
    """The batch size at which a library takes least time on a few rows, or its error; larger ones are tried while that helps."""
    best: dict[str, Any] = {}
    # thresher fills its batches by tokens.
    for size in [0] if name.startswith("thresher") else sorted(arguments.batch_sizes):
        rows = min(arguments.rows, arguments.tried_rows)
        trial = measured(run, PEERS[name][0], layer, rows, size, out)
        print(f"{layer}: {name}, batches of {size}: {trial}", file=sys.stderr, flush=True)
        if "error" in trial:
            break
        if best and trial["cpu"] > best["cpu"]:
            break
        best = {"batch_size": size, "cpu": trial["cpu"]}
    return {"batch_size": best["batch_size"]} if best else {"error": trial["error"]}


def compared(run: Path, layer: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """All libraries on one layer: seconds of every repetition, and how near their numbers are to ours."""
    names = [name for name, (_, layers) in PEERS.items() if layer in layers]
    found: dict[str, dict[str, Any]] = {name: {"runs": []} for name in names}
    values = {
        name: arguments.work / f"{peer}-{layer.replace(' ', '-')}.npy" for name, (peer, _) in PEERS.items()
    }
    for name in names:
        found[name] |= fastest_batch_size(run, name, layer, arguments, values[name])
    for _ in range(arguments.repetitions):
        for name in names:
            if "error" in found[name]:
                continue
            once = measured(
                run, PEERS[name][0], layer, arguments.rows, found[name]["batch_size"], values[name]
            )
            if "error" in once:
                found[name]["error"] = once["error"]
                continue
            found[name]["version"] = once.pop("version")
            found[name]["runs"].append(once)
            print(f"{layer}: {name}: {once}", file=sys.stderr, flush=True)
    ours = np.load(values[OURS])
    for name, entry in found.items():
        if "error" in entry:
            continue
        theirs = np.load(values[name])
        entry["rank_correlation"] = float(spearmanr(ours, theirs).statistic)
        entry["largest_relative_difference"] = float(np.abs(theirs / ours - 1).max())
        for clock in ("cpu", "wall"):
            seconds = [once[clock] for once in entry["runs"]]
            entry[f"rows_per_second_{clock}"] = arguments.rows / statistics.median(seconds)
            ratios = [
                once[clock] / own[clock] for once, own in zip(entry["runs"], found[OURS]["runs"], strict=True)
            ]
            entry[f"times_ours_{clock}"] = {
                "median": statistics.median(ratios),
                "least": min(ratios),
                "most": max(ratios),
            }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="labelled rows, JSON lines")
    parser.add_argument("--text", default="text")
    parser.add_argument("--label", default="intent")
    parser.add_argument("--train-rows", type=int, default=1500)
    parser.add_argument("--rows", type=int, default=256, help="rows whose self-influence is computed")
    parser.add_argument("--tried-rows", type=int, default=32, help="rows on which batch sizes are tried")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--layers", nargs="+", choices=LAYERS, default=LAYERS)
    parser.add_argument("--work", type=Path, default=Path("bench-run/self-influence"), help="scratch folder")
    parser.add_argument("--out", type=Path, default=Path("docs/bench.json"))
    arguments = parser.parse_args()
    run = trained(arguments)
    results = json.loads(arguments.out.read_text()) if arguments.out.is_file() else {}
    before = results.get("self_influence", {})
    found = {
        "rows": arguments.rows,
        "train_rows": arguments.train_rows,
        "repetitions": arguments.repetitions,
        "data": arguments.data.name,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one thread for each library",
        "layers": before.get("layers", {}),
    }
    for layer in arguments.layers:
        found["layers"][layer] = compared(run, layer, arguments)
        results["self_influence"] = found
        # After every layer, so that an interrupted benchmark keeps what it has.
        arguments.out.write_text(json.dumps(results, indent=1) + "\n")
    print(table(found))


if __name__ == "__main__":
    main()
