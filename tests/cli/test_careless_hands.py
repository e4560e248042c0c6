"""Careless hands: outputs named like inputs, files of other runs and programs, outputs that are closed, and defects."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import polars as pl
import pytest
from command_line import Call, contents, training

pytestmark = pytest.mark.slow


@pytest.fixture
def run(measured_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured_run, tmp_path / "R"))


def refused(call: Call, *arguments: object) -> str:
    told = call(*arguments)
    assert told.code == 2, told.err
    assert told.err.count("\n") == 1, told.err
    return told.err


def test_no_command_writes_over_the_rows_or_the_files_of_its_run(
    call: Call, material: Path, run: Path
) -> None:
    before = contents(material), contents(run)
    for place in (material / "train.jsonl", material / "test.jsonl"):
        assert "is an input" in refused(call, "suspects", run, "--out", place)
        assert "is an input" in refused(
            call, "explain", run, "--text", "play", "--label", "music", "--out", place
        )
    for place in (run / "kept.jsonl", run / "kept.parquet", run / ".thresher/rows/rows.parquet"):
        asked = ["--out", place]
        scores = run / ".thresher/score/scores.parquet"
        assert "files of a run" in refused(call, "select", scores, "--by", "el2n", "--prune", 0.4, *asked)
        assert "files of a run" in refused(call, "suspects", run, *asked)
    assert (contents(material), contents(run)) == before


def test_files_of_somebody_else_are_no_runs_to_write_over(call: Call, material: Path, run: Path) -> None:
    (run / "report.html").rename(run / "mine.html")
    (run / ".thresher/report/step.json").unlink()
    (run / ".thresher/written.json").unlink()
    (run / "report.html").write_text("mine")
    before = contents(run)
    assert "was not written by this run" in refused(call, "report", run)
    assert "was not written by this run" in refused(call, "train", *training(material, run), "--force")
    assert contents(run) == before


def test_tables_of_other_programs_and_of_other_runs_are_damage(call: Call, run: Path) -> None:
    rows = run / ".thresher/rows/rows.parquet"
    whole = rows.read_bytes()
    pl.read_parquet(rows).write_parquet(rows)
    for command in ("select", "map", "compare"):
        assert "rows.parquet: damaged (it has no checksum" in refused(call, command, run, "--force")
    from thresher.rows import read_rows, save_rows

    rows.write_bytes(whole)
    loaded = read_rows(rows)
    from dataclasses import replace

    save_rows(replace(loaded, table=loaded.table.head(30)), rows)
    assert "holds the rows of another run" in refused(call, "suspects", run, "--out", run / "s.csv")


def test_signals_that_were_removed_to_save_space_are_named(call: Call, run: Path) -> None:
    shutil.rmtree(run / ".thresher/train/evaluations")
    assert "thresher train" in refused(call, "score", run, "--force")
    shutil.rmtree(run / ".thresher/measure/run-0")
    for asked in (["suspects", run, "--out", run / "s.csv"], ["score", run, "--force"]):
        assert "its signals are gone; run `thresher measure" in refused(call, *asked)


def test_an_epoch_that_the_training_did_not_reach_is_refused(call: Call, run: Path) -> None:
    told = refused(call, "score", run, "--score-option", "el2n.epoch=99")
    assert "el2n.epoch is 99, and the training ends at epoch 2" in told


def test_a_closed_output_ends_no_command(call: Call, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    assert call("report", run, "--json").code == 0


def test_the_kept_rows_of_a_run_are_no_shards_beside_others(tmp_path: Path) -> None:
    from thresher.rows.find import find

    for name in ("a.jsonl", "b.jsonl", "R/kept.jsonl", "R/dropped.jsonl", "R/mine/c.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    (tmp_path / "R" / ".thresher").mkdir()
    (tmp_path / "R" / "run.yaml").write_text("format: 3")
    found = [path.relative_to(tmp_path).as_posix() for path in find(f"{tmp_path}/**/*.jsonl")[1]]
    assert sorted(found) == ["R/mine/c.jsonl", "a.jsonl", "b.jsonl"]
    [kept] = find(f"{tmp_path}/*/kept.jsonl")[1]
    assert kept.name == "kept.jsonl"


def test_the_suspects_of_a_run_are_no_shards_beside_others(tmp_path: Path) -> None:
    """Also where the run is in the folder of the shards: the same command goes on."""
    from thresher.rows.find import find

    for name in (
        "run.yaml",
        "a.csv",
        "b.csv",
        "suspects.csv",
        "kept/a.csv",
        "dropped/b.csv",
        "other/suspects.csv",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("text,label\n")
    (tmp_path / ".thresher").mkdir()
    assert [path.name for path in find(tmp_path)[1]] == ["a.csv", "b.csv"]
    found = [path.relative_to(tmp_path).as_posix() for path in find(f"{tmp_path}/**/*.csv")[1]]
    assert sorted(found) == ["a.csv", "b.csv", "other/suspects.csv"]
