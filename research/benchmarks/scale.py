"""Cost of a run of many rows on many nodes, from the inputs in bench.json: `python -m research.benchmarks.scale
[--write]`.

`hours` is the cost model that scale.md describes. `--write` puts the tables into scale.md.
"""

from __future__ import annotations

import argparse
import json
from math import ceil
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MARK = "<!-- made by research/benchmarks/scale.py -->"

# Not measured: the machines that the tables are for.
CORES = 8  # per node
EPOCHS = 3
CHECKPOINTS = 10
EVALUATIONS = 10  # of the whole set, for Forgetting
NETWORK = 1.25e9  # bytes per second between two nodes (10 Gbit/s)
STORE = 1e8  # bytes per second from the store to a node
START = 30.0  # seconds until a node's workers have imported what they need
BATCH = 32  # rows per node and step in training
RUNS = ((10_900_000, 1024), (1_000_000_000, 16384))  # rows, chunk rows
NODES = (1, 8, 64)


def hours(inputs: dict[str, Any], layers: int, rows: int, chunk_rows: int, nodes: int) -> dict[str, float]:
    """Hours of every step, and what it leaves on disk; the formulas of scale.md."""
    model, ray, score = inputs[f"layers_{layers}"], inputs["ray"], inputs["scoring_1m"]
    chunks = ceil(rows / chunk_rows)
    work = rows / model["measure_rows_per_s"] + chunks * model["chunk_s"]  # core seconds
    start = START + CHECKPOINTS * model["checkpoint_bytes"] / STORE
    # What the driver does for a chunk grows with its part.
    driver = chunks * ray["driver_cpu_s_per_chunk"] * chunk_rows / 1024
    workers = work / (nodes * CORES) + start
    steps = EPOCHS * rows / (BATCH * nodes)
    exchange = 2 * 4 * model["parameters"] * (nodes - 1) / nodes / NETWORK
    # A whole-set evaluation is a forward pass, of which `logits_rows_per_s` counts ten.
    evaluations = EVALUATIONS * rows / (CHECKPOINTS * model["logits_rows_per_s"] * CORES * nodes)
    train = steps * (BATCH / (model["train_rows_per_s"] * CORES) + exchange) + evaluations
    scoring = rows / 1e6 * (score["read_s_per_million_rows"] + score["score_s_per_million_rows"])
    return {
        "train": train / 3600,
        "measure": max(workers, driver) / 3600,
        "driver": driver / 3600,
        "score": scoring / 3600,
        "chunks": chunks,
        "parts_bytes": rows * model["part_bytes_per_row"],
        "score_bytes": rows * score["peak_bytes_per_row"],
    }


def duration(value: float) -> str:
    """Hours as people say them.

    >>> duration(0.25), duration(5), duration(100)
    ('15 min', '5.0 h', '4.2 d')
    """
    if value < 1:
        return f"{60 * value:.0f} min"
    return f"{value:.1f} h" if value < 48 else f"{value / 24:.1f} d"


def size(value: float) -> str:
    """Bytes in a unit that suits them.

    >>> size(2.5e9), size(1.3e12)
    ('2.5 GB', '1.3 TB')
    """
    return f"{value / 1e9:.1f} GB" if value < 1e12 else f"{value / 1e12:.1f} TB"


def tables(inputs: dict[str, Any]) -> str:
    """The inputs and the costs, as Markdown."""
    lines = ["| measured | 3 layers | 6 layers |", "|---|---|---|"]
    for name, words, form in (
        ("measure_rows_per_s", "all signals, 10 checkpoints: rows per core second", "{:.1f}"),
        ("logits_rows_per_s", "logits only (`--runs`): rows per core second", "{:.1f}"),
        ("train_rows_per_s", "training: rows per core second", "{:.1f}"),
        ("chunk_s", "per chunk, whatever its rows: core seconds", "{:.3f}"),
        ("part_bytes_per_row", "part: bytes per row", "{:,.0f}"),
        ("checkpoint_bytes", "checkpoint: bytes", "{:,.0f}"),
    ):
        three, six = (form.format(inputs[f"layers_{layers}"][name]) for layers in (3, 6))
        lines.append(f"| {words} | {three} | {six} |")
    lines += [
        "",
        "| rows | layers | nodes | train | measure | of which the driver needs | core hours to measure |",
    ]
    lines.append("|---|---|---|---|---|---|---|")
    for rows, chunk_rows in RUNS:
        for layers in (3, 6):
            for nodes in NODES:
                cost = hours(inputs, layers, rows, chunk_rows, nodes)
                cells = [f"{rows:,}", layers, nodes]
                cells += [duration(cost[name]) for name in ("train", "measure", "driver")]
                lines.append(f"| {' | '.join(map(str, cells))} | {cost['measure'] * nodes * CORES:,.0f} |")
    lines += [
        "",
        "| rows | parts | bytes of parts | `score`, one core | memory of `score` |",
        "|---|---|---|---|---|",
    ]
    for rows, chunk_rows in RUNS:
        cost = hours(inputs, 3, rows, chunk_rows, 1)
        sizes = [size(cost["parts_bytes"]), duration(cost["score"]), size(cost["score_bytes"])]
        lines.append(f"| {rows:,} | {cost['chunks']:,} of {chunk_rows:,} rows | {' | '.join(sizes)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables, or put them into the document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="into scale.md")
    made = tables(json.loads((HERE / "bench.json").read_text(encoding="utf-8"))["scale"])
    if not parser.parse_args().write:
        print(made)
        return
    page = (HERE / "scale.md").read_text(encoding="utf-8")
    before, _, after = page.partition(MARK)
    (HERE / "scale.md").write_text(
        f"{before}{MARK}\n\n{made}\n\n{MARK}{after.partition(MARK)[2]}", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
