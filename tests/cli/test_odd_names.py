"""Names and values with a special meaning to a library: folders, columns, labels, settings."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from command_line import Call, commands, write_jsonl

from thresher.config import DataConfig, RunConfig
from thresher.run.manifest import Manifest, read_manifest, write_manifest

QUICK = ["--freeze", "--folds", 0, "--epochs", 2, "--batch-size", 8, "--checkpoints", 3, "--workers", 1]


def renamed(path: Path, n: int, seed: int, names: dict[str, str]) -> Path:
    rows = [{names.get(name, name): value for name, value in row.items()} for row in commands(n, seed=seed)]
    return write_jsonl(path, rows)


def whole_job(material: Path, folder: Path, out: Path, names: dict[str, str], seed: int = 5) -> list[object]:
    train, test = (
        renamed(folder / "train.jsonl", 30, seed, names),
        renamed(folder / "test.jsonl", 20, 9, names),
    )
    text, label, room = (names.get(name, name) for name in ("utterance", "intent", "room"))
    columns = ["--text", text, "--label", label, "--group", room, "--test", test]
    return [
        "run",
        train,
        *columns,
        "--model",
        material / "tiny",
        *QUICK,
        "--by",
        "el2n",
        "--seeds",
        2,
        "--most-seeds",
        2,
        "--out",
        out,
    ]


@pytest.fixture
def run(call: Call, material: Path, tmp_path: Path) -> Path:
    assert call(*whole_job(material, tmp_path, tmp_path / "RUN", {})).code == 0
    return tmp_path / "RUN"


def test_a_folder_whose_name_is_a_glob_pattern_reads_only_its_own_rows(
    call: Call, material: Path, tmp_path: Path
) -> None:
    for name, seed in (("expA", 5), ("exp*", 6), ("exp[1]", 7)):
        answer = call(*whole_job(material, tmp_path, tmp_path / name, {}, seed))
        assert answer.code == 0, answer.err
        ids = pl.read_parquet(tmp_path / name / ".thresher/rows/rows.parquet", glob=False)["id"].to_list()
        scored = pl.read_parquet(tmp_path / name / ".thresher/score/scores.parquet", glob=False)[
            "id"
        ].to_list()
        assert scored == ids and len(ids) == 30
        report = call("report", tmp_path / name, "--force")
        assert report.code == 0 and "damaged" not in report.err


def test_columns_may_have_the_names_of_internal_columns(call: Call, material: Path, tmp_path: Path) -> None:
    for at, names in enumerate(
        ({"utterance": "kept", "intent": "len"}, {"room": "kept", "intent": "place"}, {"room": "place"})
    ):
        out = tmp_path / f"RUN-{at}"
        tuned = [one for one in whole_job(material, tmp_path, out, names) if one != "--freeze"]
        answer = call(*tuned)
        assert answer.code == 0, answer.err
        id = pl.read_parquet(out / ".thresher/rows/test.parquet")["id"][0]
        explained = call("explain", out, "--test-row", id)
        assert explained.code == 0, explained.err


def test_a_label_is_read_back_from_the_manifest_unchanged(tmp_path: Path) -> None:
    labels = ("wait\x85", "caf\u00e9", "\u2028", "a\u00a0b", "\U0001f600")
    config = RunConfig(data=DataConfig(train="train.jsonl", text=("text",), label="label"))
    facts = {"thresher": "0", "versions": {}, "created": "", "key": "", "rows_hash": "", "test_hash": None}
    manifest = Manifest(**facts, n_rows=5, n_test=0, classes=labels, config=config)
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest


@pytest.mark.parametrize("name", ["bogus", "reduce_lr_on_plateau", "cosine_with_min_lr"])
def test_a_schedule_that_cannot_be_used_is_refused_before_there_is_a_folder(
    call: Call, material: Path, tmp_path: Path, name: str
) -> None:
    job = whole_job(material, tmp_path, tmp_path / "RUN", {})
    answer = call(*job, "--set", f"train.schedule={name}")
    assert answer.code == 2
    (line,) = answer.err.strip().splitlines()[-1:]
    assert f"train.schedule: unknown schedule '{name}'; supported are linear, cosine" in line
    assert not (tmp_path / "RUN" / "run.yaml").exists()


def test_options_of_a_strategy_in_the_file_do_not_apply_to_another_strategy(call: Call, run: Path) -> None:
    text = (run / "run.yaml").read_text()
    text = text.replace(
        "strategy: cutoff\n    options: {}", "strategy: softmax\n    options: {temperature: 0.5}"
    )
    (run / "run.yaml").write_text(text)
    by_file = call("select", run, "--by", "el2n", "--prune", 0.3, "--json")
    assert by_file.json["options"] == {"temperature": 0.5}, by_file.err
    other = call("select", run, "--strategy", "cutoff", "--json")
    assert (other.code, other.json["options"]) == (0, {}), other.err


def test_settings_that_are_not_yaml_are_one_line(
    call: Call, run: Path, material: Path, tmp_path: Path
) -> None:
    answer = call("select", run, "--set", "select.options={temperature: 0.5")
    assert answer.code == 2 and "is not a mapping" in answer.err.strip().splitlines()[-1]
    config = tmp_path / "config.yaml"
    config.write_text("data: {train: 2024-13-45}\n")
    answer = call("train", "--config", config, "--out", tmp_path / "OTHER")
    assert answer.code == 2 and "broken YAML: month must be in 1..12" in answer.err
    (run / "run.yaml").write_text(_without_config(run))
    answer = call("report", run)
    assert answer.code == 2 and "has no config" in answer.err


def _without_config(run: Path) -> str:
    return "".join(
        line
        for line in (run / "run.yaml").read_text().splitlines(keepends=True)
        if line.startswith("format:")
    )
