"""The cells of the notebook run one after the other, on fewer rows, and the outputs stored in it are those of a whole run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from research.notebook import executed
from thresher.demo import commands

NOTEBOOK = Path(__file__).parents[2] / "examples" / "from_csv_to_decision.ipynb"
DECISION = 'result.decision["sentence"]'


def notebook() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    return found


def shown(book: dict[str, Any]) -> dict[str, str]:
    """What each code cell shows, by its last line."""
    found = {}
    for cell in book["cells"]:
        if cell["cell_type"] == "code":
            texts = [one.get("text") or one["data"]["text/plain"] for one in cell["outputs"]]
            found[cell["source"][-1]] = "".join(line for text in texts for line in text)
    return found


@pytest.mark.slow
def test_the_notebook_goes_from_a_csv_file_to_a_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "TRAIN_PER_INTENT", 40)
    monkeypatch.setattr(commands, "TEST_PER_INTENT", 2)
    decided = shown(executed(notebook()))[DECISION]
    assert "rows" in decided and re.search(r"[Dd]rop|Do not drop|safe", decided)
    assert (tmp_path / "RUN" / "kept.csv").is_file() and (tmp_path / "RUN" / "report.html").is_file()


def test_every_cell_that_shows_something_has_its_output_stored() -> None:
    empty = [line for line, text in shown(notebook()).items() if not text]
    assert empty == ["import thresher as th"]
    assert re.search(r"[Dd]rop|Do not drop|safe", shown(notebook())[DECISION])


def test_the_stored_outputs_are_small_and_name_no_place_on_a_machine() -> None:
    stored = json.dumps([cell.get("outputs") for cell in notebook()["cells"]])
    assert len(stored) < 40_000
    assert re.findall(r"(?<![\w<./])/(?:home|root|tmp|usr|var|work|Users)/", stored) == []


def test_a_cell_shows_what_it_prints_and_its_last_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cell = {
        "cell_type": "code",
        "source": ["print('one')\n", "1 + 1"],
        "outputs": [],
        "execution_count": None,
    }
    (after,) = executed({"cells": [cell]})["cells"]
    assert after["outputs"][0] == {"name": "stdout", "output_type": "stream", "text": ["one\n"]}
    assert after["outputs"][1]["data"] == {"text/plain": ["2"]} and after["execution_count"] == 1
