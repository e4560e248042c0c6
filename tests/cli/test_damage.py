"""Files damaged after their step was finished: named in one line and redone, and no number changes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from command_line import Call, contents, small_parts

pytestmark = pytest.mark.slow
MEASURED = (
    "train/checkpoints/",
    "train/model/",
    "train/evaluations/",
    "measure/run-",
    "select/vog",
    "rows/rows.",
    "score/scores.",
)
CHECKPOINT = "train/checkpoints/run-0/step-00000008"


def flip(path: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    """The end is gone."""
    path.write_bytes(path.read_bytes()[:-40])


def swap(path: Path) -> None:
    """With its neighbour, which has as many rows."""
    other = path.with_name("part-00001.parquet")
    one, two = path.read_bytes(), other.read_bytes()
    path.write_bytes(two)
    other.write_bytes(one)


def measured(run: Path) -> dict[str, bytes]:
    """All but what tells the time."""
    inside = {
        name: content for name, content in contents(run / ".thresher").items() if name.startswith(MEASURED)
    }
    shown = {
        name: content for name, content in contents(run).items() if name.startswith(("kept.", "dropped."))
    }
    return {name: content for name, content in (shown | inside).items() if not name.endswith("done.json")}


@pytest.mark.parametrize(
    ("file", "how", "reader", "remedy"),
    [
        ("measure/run-0/part-00002.parquet", flip, "score", "thresher measure"),
        ("measure/run-0/part-00002.parquet", cut, "score", "thresher measure"),
        ("measure/run-0/part-00002.parquet", Path.unlink, "score", "thresher measure"),
        ("measure/run-0/part-00002.parquet", swap, "score", "thresher measure"),
        ("measure/run-0/plan.json", flip, "score", "thresher measure"),
        ("measure/run-0/checkpoints.parquet", flip, "score", "thresher measure"),
        (f"{CHECKPOINT}/model.safetensors", flip, "measure", "thresher train"),
        (f"{CHECKPOINT}/model.safetensors", cut, "measure", "thresher train"),
        (f"{CHECKPOINT}/checkpoint.json", flip, "measure", "thresher train"),
        ("train/checkpoints/null-0/done.json", flip, "measure", "thresher train"),
        ("train/model/tokenizer.json", flip, "measure", "thresher train"),
        ("train/evaluations/run-0/step-00000008.parquet", flip, "score", "thresher train"),
        ("rows/rows.parquet", flip, "measure", "thresher train"),
        ("score/scores.parquet", flip, "select", "thresher score"),
        ("select/vog_class-easy-cutoff-0.4.parquet", flip, "compare", "thresher select"),
    ],
)
def test_damage_is_named_and_the_same_command_repairs_it(
    file, how, reader, remedy, measured_run: Path, material: Path, tmp_path: Path, call: Call
) -> None:
    out = tmp_path / "R"
    shutil.copytree(measured_run, out)
    expected = measured(out)
    how(out / ".thresher" / file)
    refused = call(reader, out, "--force")
    assert refused.code == 2, refused.err
    [line] = refused.err.splitlines()
    # Of two parts that changed places the first one is named.
    place = "part-00001" if how is swap else Path(file).name
    assert line.startswith(f"error: {out}") and place in line and remedy in line
    repaired = call(*small_parts(material, out))
    assert repaired.code == 0, repaired.err
    assert measured(out) == expected


def test_a_part_of_another_run_is_not_mixed_in(
    measured_run: Path, material: Path, tmp_path: Path, call: Call
) -> None:
    """Of the same rows and settings, trained with another seed, and as many rows long."""
    other = tmp_path / "other"
    assert call(*small_parts(material, other), "--seed", 1).code == 0
    out, part = tmp_path / "R", ".thresher/measure/run-0/part-00003.parquet"
    shutil.copytree(measured_run, out)
    expected = measured(out)
    shutil.copy(other / part, out / part)
    refused = call("score", out, "--force")
    assert refused.code == 2 and f"{out / part}: made with other rows, model or settings" in refused.err
    repaired = call("measure", out)
    assert repaired.code == 0 and "part-00003.parquet: made with other" in repaired.err
    assert call("score", out, "--force").code == 0
    assert measured(out) == expected
