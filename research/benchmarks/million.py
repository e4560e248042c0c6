"""The cheap decision for many rows: from a file to the kept rows, scored by heads on the first layers of the encoder.

    python -m research.benchmarks.million OUT --rows 1000000

The rows are synthetic: 1,000 sentences per intent from the demo's templates, with a time or a number after them; 4% have a
label drawn at random. One command, `thresher run --proxy frozen-3`, with as many processes as cores: rows in and audited, the
encoder pass, heads with cross-validation, words, 55% of the rows kept by the recommended rule, the list of suspects, the report.
Nothing is proved (`--hold-out 0`). Memory is the largest sum over all processes of what is theirs alone (USS), and of their
resident memory, in which mapped files and shared pages count too. A run that was interrupted goes on; its times are the sums of
all attempts."""

from __future__ import annotations

import argparse
import itertools
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
BLOCK_ROWS = 1_000_000
STEPS = ("train", "measure", "score", "select")


def make_rows(path: Path, number: int) -> set[str]:
    """Write so many rows, a block at a time; returns the ids of those with a wrong label."""
    rng = random.Random(0)
    templates, intents = read_templates()
    own = by_intent(templates)
    names = sorted(own)
    sentences = {
        name: [draw(rng.choice(own[name]), intents, rng).text for _ in range(1000)] for name in names
    }
    wrong: set[str] = set()
    with path.open("w", encoding="utf-8") as file:
        for block, start in enumerate(range(0, number, BLOCK_ROWS)):
            rows = []
            for at in range(start, min(start + BLOCK_ROWS, number)):
                intent = names[at % len(names)]
                text, kind = rng.choice(sentences[intent]), rng.randrange(3)
                if kind != 1:
                    text += f" at {rng.randrange(24)}:{rng.randrange(60):02d}"
                if kind != 0:
                    text += f" and then {rng.randrange(1000)} more"
                rows.append({"id": f"r{at}", "text": text, "intent": intent})
            rows, planted = plant(rows, NOISE_SHARE, block)
            wrong |= {row["id"] for row in planted}
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    return wrong


def cpu_seconds(tree: list[psutil.Process]) -> float:
    """CPU seconds of some processes, and of their children that have ended."""
    return sum(sum(one.cpu_times()[:4]) for one in tree)


def run_whole(command: list[str], parts: Path) -> dict[str, float]:
    """Seconds of a command, and the largest memory of its processes together, in MiB.

    They are written into the folder `parts` every ten seconds, a file per attempt; those of interrupted ones count.
    """
    parts.mkdir(exist_ok=True)
    file = parts / f"{len(list(parts.iterdir()))}.json"
    found = {"seconds": 0.0, "CPU seconds": 0.0, "own_mib": 0.0, "resident_mib": 0.0}
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "thresher", *command])
    done = threading.Event()

    def watch() -> None:
        for second in itertools.count():
            if done.wait(1.0):
                return
            try:
                root = psutil.Process(process.pid)
                tree = [root, *root.children(recursive=True)]
                memory = [one.memory_full_info() for one in tree]
                cpu = cpu_seconds(tree)
            except psutil.Error:
                continue
            found["own_mib"] = max(found["own_mib"], sum(one.uss for one in memory) / 2**20)
            found["resident_mib"] = max(found["resident_mib"], sum(one.rss for one in memory) / 2**20)
            found["CPU seconds"], found["seconds"] = cpu, time.monotonic() - started
            if second % 10 == 0:
                file.write_text(json.dumps(found))

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    done.set()
    watcher.join()
    if code:
        raise SystemExit(code)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    found |= {"seconds": time.monotonic() - started, "CPU seconds": used.ru_utime + used.ru_stime}
    file.write_text(json.dumps(found))
    attempts = pl.DataFrame([json.loads(one.read_text()) for one in parts.iterdir()])
    total = attempts.select(pl.col("seconds", "CPU seconds").sum(), pl.col("own_mib", "resident_mib").max())
    return {name: round(value, 1) for name, value in total.row(0, named=True).items()}


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
        ["run", str(source), *COMMAND, "--hold-out", "0", "--out", str(run)], given.out / "parts"
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
