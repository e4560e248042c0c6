"""The guides of CONTRIBUTING.md, executed: a score, a strategy, a step or an engine is one new file and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

USE_SCORE = """
import polars as pl
from thresher.scores import scores

logits = pl.Series("logits", [[[0.0, 0.0]], [[0.0, 30.0]]], dtype=pl.Array(pl.Float32, (1, 2)))
signals = pl.DataFrame({"label": [0, 1]}).with_columns(logits)
entry = scores()["certainty"]
assert entry.options["checkpoint"].default == -1
assert entry.function(signals, pl.DataFrame({"index": [0]})).round(6).to_list() == [0.5, 1.0]
"""

USE_STRATEGY = """
import polars as pl
from thresher.selection import select, strategies

assert "squared" in strategies()
rows = range(100)
scores = pl.DataFrame({"id": [str(i) for i in rows], "label": 0, "s": [float(i) for i in rows]})
kept = select(scores, by="s", hard="high", prune=0.5, strategy="squared", options={"least": 1e-9}, floor=0)
assert kept["kept"].sum() == 50
assert scores["s"].filter(kept["kept"]).mean() > 60
"""

USE_ENGINE = """
import torch
from thresher.execution.engines import Place, run_tasks

place = Place("spawned")
assert dict(run_tasks(pow, [(2, 3), (3, 2)], 2, place=place)) == {0: 8, 1: 9}
assert {found for _, found in run_tasks(torch.get_num_threads, [(), ()], 2, 3, place)} == {3}
"""

USE_STEP = """
import tempfile
from pathlib import Path

import polars as pl

import thresher as th
from thresher.config import DataConfig, RunConfig
from thresher.experiments.count import Counting, count
from thresher.pipeline.start import start

rows = th.load(pl.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "x"]}), text="text", label="label")
config = RunConfig(data=DataConfig(train="-", text=("text",), label="label"))
with tempfile.TemporaryDirectory() as folder:
    run = start(Path(folder), rows, None, config, key="k")
    assert count(run, Counting()) == {"x": 2, "y": 1}
    assert count(run, Counting(least=2)) == {"x": 2}
    assert run.record("count").settings == {"least": 2}
"""
# The command is registered as `cli/commands.py` does it for those that it lists.
USE_QUESTION = """
import io
import json
import tempfile
from contextlib import redirect_stdout
from pathlib import Path

import polars as pl
import pytest

import thresher as th
from thresher.cli import count, main
from thresher.cli.main import app
from thresher.config import DataConfig, RunConfig
from thresher.pipeline.start import start

rows = th.load(pl.DataFrame({"text": ["a", "b", "c"], "label": ["x", "y", "x"]}), text="text", label="label")
config = RunConfig(data=DataConfig(train="-", text=("text",), label="label"))
app.command()(count.count)
with tempfile.TemporaryDirectory() as folder, redirect_stdout(io.StringIO()) as shown, pytest.raises(SystemExit):
    start(Path(folder), rows, None, config, key="k")
    main(["count", folder, "--json"])
assert json.loads(shown.getvalue()) == {"x": 2, "y": 1}
"""


def block(heading: str) -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {heading}$.*?^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert found, heading
    return found[1]


@pytest.mark.parametrize(
    ("heading", "place", "use"),
    [
        ("Add a score", "scores/certainty.py", USE_SCORE),
        ("Add a strategy", "selection/squared.py", USE_STRATEGY),
        ("Add a step", "experiments/count.py", USE_STEP),
        ("Add an engine", "execution/spawned.py", USE_ENGINE),
    ],
)
def test_the_example_works_as_one_new_file(heading: str, place: str, use: str, tmp_path: Path) -> None:
    succeeds(use, {place: block(heading)}, tmp_path)


def test_a_question_is_a_step_and_a_command(tmp_path: Path) -> None:
    files = {"experiments/count.py": block("Add a step"), "cli/count.py": block("Add a question")}
    succeeds(USE_QUESTION, files, tmp_path)


def succeeds(use: str, files: dict[str, str], tmp_path: Path) -> None:
    """Run a script with a copy of the package that has these new files."""
    shutil.copytree(
        ROOT / "src/thresher", tmp_path / "thresher", ignore=shutil.ignore_patterns("__pycache__")
    )
    for place, text in files.items():
        (tmp_path / "thresher" / place).write_text(text)
    check = subprocess.run(
        [sys.executable, "-c", use],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert check.returncode == 0, check.stderr


def test_every_folder_of_the_package_is_in_the_table() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    folders = {path.parent.name for path in (ROOT / "src/thresher").glob("*/__init__.py")}
    assert folders == set(re.findall(r"^\| `(\w+)/` \|", text, flags=re.MULTILINE))
