"""The demo from start to end, with a tiny model and few rows, so that it takes seconds."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest
from command_line import Call, contents, training

import thresher.cli.demo as demo
from thresher.config import RunConfig
from thresher.demo import commands
from thresher.demo.planted import precision
from thresher.pipeline.preset import with_preset
from thresher.settings import checked

TRAIN, TEST = Path("train.jsonl"), Path("test.jsonl")


def test_the_demo_takes_the_defaults() -> None:
    """What it shows is what a user gets who gives no option but for a head as the model."""
    config = demo.settings(TRAIN, TEST, seed=0)
    assert config == with_preset(
        checked({"data": config.data.model_dump(), "model": {"freeze": True}, "compare": {"seeds": 5}})
    )
    assert (config.data.label, config.data.groups, config.data.test) == ("intent", ("domain",), "test.jsonl")
    assert (config.select.prune, config.compare.seeds, config.model.name) == ("auto", 5, "minilm")


def test_precision_is_the_share_of_planted_rows_among_the_hardest() -> None:
    n = 200
    values = pl.Series("el2n", [float((i * 73) % n) for i in range(n)])
    scores = pl.DataFrame(
        {"id": [f"r{i}" for i in range(n)], "el2n": values, "pvi": -values, "vog_class": -values}
    )
    planted = [f"r{i}" for i in range(n) if values[i] >= 190 or values[i] < 10]
    found = precision(scores, {"el2n": {}, "pvi": {}, "vog": {}}, planted)
    hardest = {id for id, value in zip(scores["id"], values, strict=True) if value >= n - len(planted)}
    expected = len(hardest & set(planted)) / len(planted)
    assert (
        found["precision"].to_list() == [expected] * 3 == [0.5] * 3
    )  # a low PVI is hard, a high EL2N and VoG
    assert found["chance"].to_list() == [0.1] * 3


@pytest.mark.slow
def test_the_demo_end_to_end(
    tmp_path: Path, material: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = demo.settings

    def quick(train: Path, test: Path, seed: int) -> RunConfig:
        config = full(train, test, seed).model_dump()
        config["model"]["name"] = str(material / "tiny")
        config["train"] |= {"epochs": 1, "checkpoints": 2, "workers": 1, "threads": 1}
        config["compare"] |= {"seeds": 2, "workers": 1}
        config["measure"]["workers"] = 1
        config["how_much"] |= {"validation": 0.5, "step": 0.5, "first_seeds": 2, "most_seeds": 2}
        return checked(config)

    monkeypatch.setattr(demo, "settings", quick)
    monkeypatch.setattr(commands, "TRAIN_PER_INTENT", 40)
    monkeypatch.setattr(commands, "TEST_PER_INTENT", 4)
    out = tmp_path / "demo-run"
    answer = call("demo", "--out", out)
    assert answer.code == 0, answer.err
    planted = (out / "data-0/planted.jsonl").read_text().splitlines()
    before_training = answer.err.split("train:")[0]
    assert "voice commands" in before_training and "label: intent" in before_training
    assert (
        f"noise is planted: 4% of the labels were redrawn at random, which made {len(planted)} of them wrong"
        in (before_training)
    )
    kept = {json.loads(row)["id"] for row in (out / "kept.jsonl").read_text().splitlines()}
    left = sum(json.loads(row)["id"] in kept for row in planted)
    assert f"The kept rows have {left:,} of the planted ones" in answer.out
    assert "kept rows" in answer.out and "report: " in answer.out and "(chance 4%)" in answer.out
    files = contents(out)
    again = call("demo", "--out", out, "--json")
    steps = 6 if again.json["decision"]["prune"] else 5  # nothing is compared where all rows are kept
    assert again.err.count("already done") == steps
    assert again.json["planted"]["kept"] == left
    assert contents(out) == files
    other = call("demo", "--out", out, "--seed", 1)
    assert other.code == 2 and "--force" in other.err
    assert contents(out) == files


@pytest.mark.slow
def test_the_demo_leaves_another_run_alone(tmp_path: Path, material: Path, call: Call) -> None:
    assert call("train", *training(material, tmp_path / "R")).code == 0
    before = contents(tmp_path / "R")
    answer = call("demo", "--out", tmp_path / "R")
    assert answer.code == 2 and "train.jsonl" in answer.err
    assert contents(tmp_path / "R") == before
