"""The cheap decision for many rows: from a file to the kept rows, scored by heads on the first layers of the encoder.

    python -m research.benchmarks.million OUT --rows 1000000

The rows are synthetic: 1,000 sentences per intent from the demo's templates, with a time or a number after them; 4% have a
label drawn at random. Steps: `train --proxy frozen-3` (encoder pass, heads with cross-validation), `measure`, `score`, and
`select` of 55% by the recommended rule, with as many processes as cores. Memory is the largest sum of the resident memory of
all processes; shared pages count in each of them. A run that was interrupted goes on."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import psutil

from research.benchmarks.record import machine, record
from thresher.demo.commands import NOISE_SHARE, by_intent, plant
from thresher.demo.templates import draw, read_templates

STEPS: dict[str, list[str]] = {
    "train": ["--text", "text", "--label", "intent", "--id", "id", "--proxy", "frozen-3"],
    "measure": [],
    "score": [],
    "select": ["--prune", "0.45", "--strategy", "recommended"],
}


def make_rows(path: Path, number: int) -> set[str]:
    """Write so many rows; returns the ids of those with a wrong label."""
    rng = random.Random(0)
    templates, intents = read_templates()
    own = by_intent(templates)
    names = sorted(own)
    sentences = {
        name: [draw(rng.choice(own[name]), intents, rng).text for _ in range(1000)] for name in names
    }
    rows = []
    for at in range(number):
        intent = names[at % len(names)]
        text, kind = rng.choice(sentences[intent]), rng.randrange(3)
        if kind != 1:
            text += f" at {rng.randrange(24)}:{rng.randrange(60):02d}"
        if kind != 0:
            text += f" and then {rng.randrange(1000)} more"
        rows.append({"id": f"r{at}", "text": text, "intent": intent})
    rows, wrong = plant(rows, NOISE_SHARE, 0)
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return {row["id"] for row in wrong}


def run_step(command: list[str]) -> dict[str, float]:
    """Seconds of a command, and the largest memory of its processes together, in MiB."""
    started, peak = time.monotonic(), 0
    process = subprocess.Popen([sys.executable, "-m", "thresher", *command])
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.5):
            total = 0
            try:
                root = psutil.Process(process.pid)
                for one in (root, *root.children(recursive=True)):
                    total += one.memory_info().rss
            except psutil.Error:
                continue
            peak = max(peak, total)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        raise SystemExit(code)
    return {"seconds": round(time.monotonic() - started, 1), "peak_mib": round(peak / 2**20)}


def main() -> None:
    """Make the rows, run the steps, and record what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    source, planted, run = (given.out / name for name in ("train.jsonl", "planted.json", "RUN"))
    if not planted.is_file():
        planted.write_text(json.dumps(sorted(make_rows(source, given.rows))))
    wrong = set(json.loads(planted.read_text()))
    figures: dict[str, object] = {}
    for step, options in STEPS.items():
        where = [str(source), *options, "--out", str(run)] if step == "train" else [str(run), *options]
        figures[step] = run_step([step, *where])
        print(step, figures[step], flush=True)
    scores = pl.read_parquet(run / ".thresher/proxy/.thresher/score/scores.parquet", columns=["id", "aum"])
    worst = set(scores.sort("aum").head(len(wrong))["id"])
    figures |= {
        "source_mib": round(source.stat().st_size / 2**20),
        "kept": sum(1 for _ in (run / "kept.jsonl").open(encoding="utf-8")),
        "planted": len(wrong),
        "precision of aum": round(len(worst & wrong) / len(wrong), 4),
        "machine": machine(),
    }
    record("million", f"{given.rows:,} rows", figures)
    print(figures, flush=True)


if __name__ == "__main__":
    main()
