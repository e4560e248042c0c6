"""The cheap decision for many rows: from a file to the kept rows, scored by heads on the first layers of the encoder.

    python -m research.benchmarks.million OUT --rows 1000000

The rows are synthetic: 1,000 sentences per intent from the demo's templates, with a time or a number after them; 4% have a
label drawn at random. One command, `thresher run --proxy frozen-3`, with as many processes as cores: rows in and audited, the
encoder pass, heads with cross-validation, words, 55% of the rows kept by the recommended rule, the list of suspects, the report.
Nothing is proved (`--hold-out 0`). Memory is the largest sum over all processes of what is theirs alone (USS), and of their
resident memory, in which mapped files and shared pages count too. A run that was interrupted goes on, and its time is then that
of the rest."""

from __future__ import annotations

import argparse
import json
import random
import resource
import subprocess
import sys
import threading
import time
from pathlib import Path

import polars as pl
import psutil

import thresher as th
from research.benchmarks.record import machine, record
from thresher.demo.commands import NOISE_SHARE, by_intent, plant
from thresher.demo.templates import draw, read_templates

COMMAND = ["--text", "text", "--label", "intent", "--id", "id", "--proxy", "frozen-3", "--prune", "0.45"]
STEPS = ("train", "measure", "score", "select")


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


def run_whole(command: list[str]) -> dict[str, float]:
    """Seconds of a command, and the largest memory of its processes together, in MiB."""
    started, own, resident = time.monotonic(), 0, 0
    process = subprocess.Popen([sys.executable, "-m", "thresher", *command])
    done = threading.Event()

    def watch() -> None:
        nonlocal own, resident
        while not done.wait(1.0):
            uss = rss = 0
            try:
                root = psutil.Process(process.pid)
                for one in (root, *root.children(recursive=True)):
                    about = one.memory_full_info()
                    uss, rss = uss + about.uss, rss + about.rss
            except psutil.Error:
                continue
            own, resident = max(own, uss), max(resident, rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        raise SystemExit(code)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": round(time.monotonic() - started, 1),
        "CPU seconds": round(used.ru_utime + used.ru_stime, 1),
        "own_mib": round(own / 2**20),
        "resident_mib": round(resident / 2**20),
    }


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
    figures: dict[str, object] = run_whole(
        ["run", str(source), *COMMAND, "--hold-out", "0", "--out", str(run)]
    )
    opened = th.Run.open(run)
    records = {step: opened.record(step) for step in STEPS}
    figures["seconds of"] = {step: round(found.seconds, 1) for step, found in records.items() if found}
    scores = opened.scores().select("id", "aum", "word_margin")
    both = pl.col("aum").rank() + pl.col("word_margin").rank()
    worst = {
        name: scores.sort(by).head(len(wrong))["id"] for name, by in (("aum", "aum"), ("suspects", both))
    }
    figures |= {
        "source_mib": round(source.stat().st_size / 2**20),
        "kept": sum(1 for _ in (run / "kept.jsonl").open(encoding="utf-8")),
        "planted": len(wrong),
        "precision": {name: round(len(wrong & set(ids)) / len(wrong), 4) for name, ids in worst.items()},
        "machine": machine(),
    }
    record("million", f"{given.rows:,} rows", figures)
    print(figures, flush=True)


if __name__ == "__main__":
    main()
