"""The cells of the notebook run one after the other, on fewer rows."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from thresher.demo import commands

NOTEBOOK = Path(__file__).parents[2] / "examples" / "from_csv_to_decision.ipynb"


@pytest.mark.slow
def test_the_notebook_goes_from_a_csv_file_to_a_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(commands, "TRAIN_PER_INTENT", 40)
    monkeypatch.setattr(commands, "TEST_PER_INTENT", 2)
    names: dict[str, object] = {}
    for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
            assert not cell["outputs"]
    result = names["result"]
    assert result.decision["word"] in ("drop", "do not drop", "probably safe", "undecided")
    assert Path(result.kept).is_file() and Path(result.report).is_file()
