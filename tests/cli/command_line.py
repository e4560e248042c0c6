"""Run the command line, and capture stdout, stderr and exit code."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thresher.experiments.cell import read_cell
from thresher.run import Run
from thresher.run.integrity import read_json
from tiny import WORDS

CUES = {
    "light": ["turn", "on", "light"],
    "music": ["play", "some", "music"],
    "weather": ["what", "is", "weather"],
}


@dataclass(frozen=True)
class Answer:
    """What a command left: exit code, stdout, stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """stdout as one JSON document."""
        return json.loads(self.out)


Call = Callable[..., Answer]


def process(*arguments: object, cwd: Path, **options: Any) -> Answer:
    """Run a command as a process of its own."""
    command = [sys.executable, "-m", "thresher", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, stdin=subprocess.DEVNULL, **options
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def commands(n: int, seed: int) -> list[dict[str, str]]:
    """Voice commands of three intents in two rooms; the words are those that the tiny models know."""
    draw = random.Random(seed)
    rows = []
    for _ in range(n):
        intent = draw.choice(list(CUES))
        words = [*draw.sample(WORDS, 3), draw.choice(CUES[intent])]
        rows.append(
            {"utterance": " ".join(words), "intent": intent, "room": draw.choice(["hall", "kitchen"])}
        )
    return rows


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def training(material: Path, out: Path) -> list[object]:
    """The options of a training that takes a moment."""
    columns = ["--text", "utterance", "--label", "intent", "--group", "room"]
    quick = ["--epochs", 2, "--batch-size", 8, "--checkpoints", 4, "--threads", 1, "--workers", 1]
    return [material / "train.jsonl", *columns, "--model", material / "tiny", *quick, "--out", out]


# The paper's selection, without rows held out and a proof, where a test is about something else.
UNPROVED = ("--hold-out", 0, "--preset", "paper")


def whole_run(material: Path, out: Path) -> list[object]:
    """The options of a whole run that takes seconds, in one process: the paper's way, which trains the model that scores."""
    proof = ["--test", material / "test.jsonl", "--seeds", 2, "--most-seeds", 2]
    return [*training(material, out), *proof, "--preset", "paper", "--prune", 0.4]


def small_parts(material: Path, out: Path) -> list[object]:
    """A whole run whose signals are in several parts of equal length."""
    return ["run", *whole_run(material, out), "--chunk-rows", 10]


def frozen_run(material: Path, folder: Path, n_train: int, n_test: int, **recipe: Any) -> Path:
    """A scored run with a frozen encoder, on commands of its own."""
    from thresher.api import load, measure, score, train

    train_file = write_jsonl(folder / "train.jsonl", commands(n_train, seed=3))
    test = write_jsonl(folder / "test.jsonl", commands(n_test, seed=4))
    rows = load(train_file, text="utterance", label="intent", groups=["room"])
    quick = {"batch_size": 8, "checkpoints": 4, "head_lr": 1e-2, "workers": 1, **recipe}
    run = train(rows, out=folder / "RUN", test=test, model=str(material / "tiny"), freeze=True, **quick)
    measure(run)
    score(run)
    return run.folder


def comparisons(run: Path) -> dict[str, Any]:
    """What `compare` found, by selection."""
    files = sorted((run / ".thresher/compare").glob("*-*.json"))
    return {path.stem: read_json(path) for path in files}


def sweep_of(run: Path) -> dict[str, Any]:
    """What `sweep` found."""
    return read_json(run / ".thresher/sweep/result.json")


def facts_of(run: Path, step: str) -> Any:
    """The facts that a step recorded."""
    record = Run.open(run).record(step)
    assert record is not None
    return record.facts


def cells_of(run: Path) -> dict[str, Any]:
    """The figures of every training of a study, by its key."""
    opened = Run.open(run)
    return {
        path.stem: read_cell(opened, path.stem)
        for path in sorted((run / ".thresher/cells").glob("*.parquet"))
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, but for the lock."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != "lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}
