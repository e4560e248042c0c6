"""`thresher suspects`: what it lists, in every format, and what it refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import Call, commands, contents, write_jsonl

import thresher as th


@pytest.fixture(scope="module")
def scored(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored run whose texts and labels could be taken for formulas."""
    folder = tmp_path_factory.mktemp("suspects")
    rows = [{**row, "intent": f"={row['intent']}"} for row in commands(60, seed=1)]
    rows[7]["utterance"] = "=play some music"
    write_jsonl(folder / "train.jsonl", rows)
    loaded = th.load(folder / "train.jsonl", text="utterance", label="intent")
    quick = {"epochs": 2, "batch_size": 8, "checkpoints": 4, "threads": 1, "workers": 1}
    run = th.train(loaded, out=folder / "R", model=str(material / "tiny"), **quick)
    th.measure(run, workers=1)
    th.score(run)
    return folder / "R"


def test_a_table_in_every_format_is_the_same_list(scored: Path, tmp_path: Path, call: Call) -> None:
    before = contents(scored)
    for ending in ("csv", "jsonl", "parquet"):
        answer = call("suspects", scored, "--out", tmp_path / f"s.{ending}")
        assert answer.code == 0, answer.err
        assert "rows to look at" in answer.out
    found = pl.read_parquet(tmp_path / "s.parquet")
    assert found.columns == [
        "rank",
        "id",
        "utterance",
        "given",
        "likely",
        "p_given",
        "p_likely",
        "p_wrong",
        "score",
        "why",
    ]
    assert found.height > 0 and found["score"].is_sorted()
    lines = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines == found.to_dicts()
    with (tmp_path / "s.csv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert [row["id"] for row in rows] == found["id"].to_list()
    assert all(row["given"].startswith("'=") and row["likely"].startswith("'=") for row in rows)
    # Nothing may be touched in the run but the lock and what the report says of the list.
    own = {".thresher/lock", ".thresher/suspects/list.json"}
    assert {name: one for name, one in contents(scored).items() if name not in own} == {
        name: one for name, one in before.items() if name not in own
    }


def test_argilla_gets_records_and_datalab_every_row(scored: Path, tmp_path: Path, call: Call) -> None:
    records = call(
        "suspects", scored, "--out", tmp_path / "a.jsonl", "--format", "argilla", "--top", 2, "--json"
    )
    assert records.json["n_suspects"] == 2
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2
    assert set(lines[0]) == {"id", "fields", "suggestions", "metadata", "responses", "vectors"}
    call("suspects", scored, "--out", tmp_path / "d.npz", "--format", "datalab")
    call("suspects", scored, "--out", tmp_path / "d.parquet", "--format", "datalab")
    exported, table = np.load(tmp_path / "d.npz"), pl.read_parquet(tmp_path / "d.parquet")
    assert exported["pred_probs"].shape == (60, 3)
    np.testing.assert_allclose(exported["pred_probs"].sum(axis=1), 1)
    np.testing.assert_allclose(exported["pred_probs"], table["pred_probs"].to_numpy())
    rows = pl.read_parquet(scored / ".thresher/rows/rows.parquet")
    assert exported["classes"][exported["label"]].tolist() == rows["intent"].to_list()
    assert table["label_name"].to_list() == rows["intent"].to_list()


def test_from_python_and_by_another_score(scored: Path, tmp_path: Path) -> None:
    by_loss = th.suspects(scored, out=tmp_path / "s.csv", by="loss", top=60)
    assert by_loss["score"].is_sorted(descending=True)
    assert set(by_loss["id"]) == set(th.suspects(scored, out=tmp_path / "t.csv", top=60)["id"])
    assert th.suspects(scored, top=60).equals(th.suspects(scored, by="aum", top=60))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--out", "s.xlsx"], "table is written as .csv, .jsonl, .parquet; choose another --out"),
        (["--out", "s.csv", "--format", "argilla"], "argilla is written as .jsonl; choose another --out"),
        (
            ["--out", "s.csv", "--format", "cleanlab"],
            "format is 'cleanlab'; it is one of table, argilla, datalab",
        ),
        (["--out", "s.csv", "--by", "vgo"], "'vgo' is not a score or a column"),
        (["--out", "s.csv", "--top", "0"], "top is 0; it must be at least 1"),
    ],
)
def test_mistakes_get_one_line_and_nothing_is_written(
    scored: Path,
    tmp_path: Path,
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = call("suspects", scored, *options)
    assert answer.code == 2 and message in answer.err and answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_format_is_refused_also_without_a_file(scored: Path) -> None:
    with pytest.raises(th.UserError, match="format is 'zzz'; it is one of"):
        th.suspects(scored, format="zzz")


def test_without_scores_the_step_before_is_named(tmp_path: Path, call: Call) -> None:
    answer = call("suspects", tmp_path, "--out", tmp_path / "s.csv")
    assert answer.code == 2 and "not a run folder" in answer.err
