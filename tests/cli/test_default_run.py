"""`thresher run` with nothing asked for: heads score and search, the model proves, and the decision is told everywhere alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import yaml
from command_line import Answer, Call, contents

import thresher as th
from thresher.cli import main
from thresher.config import CompareConfig, DataConfig, MeasureConfig, ModelConfig, RunConfig, SelectConfig
from thresher.errors import UserError
from thresher.experiments.candidate import not_learned
from thresher.pipeline.plan import Plan, Stage, within_budget
from thresher.pipeline.preset import with_preset

DATA = DataConfig(train="train.jsonl", text=("text",), label="label")


def job(material: Path, out: Path) -> list[object]:
    """A whole run on 60 rows whose share is searched for, on a grid of 25%, 50% and 75%."""
    columns = ["--text", "utterance", "--label", "intent", "--model", material / "tiny"]
    quick = [
        "--epochs",
        2,
        "--batch-size",
        8,
        "--threads",
        1,
        "--workers",
        1,
        "--seeds",
        2,
        "--most-seeds",
        2,
    ]
    search = [f"how_much.{name}" for name in ("step=0.25", "first_seeds=2", "most_seeds=2", "validation=0.5")]
    found = [word for one in search for word in ("--set", one)]
    test = ["--test", material / "test.jsonl"]
    return ["run", material / "train.jsonl", *columns, *quick, *found, *test, "--out", out]


@pytest.fixture(scope="module")
def first(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; it is read only."""
    out = tmp_path_factory.mktemp("default") / "R"
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in job(material, out)])
    assert not left.value.code
    return out


@pytest.fixture
def again(first: Path, material: Path, tmp_path: Path, call: Call) -> Answer:
    """The same command once more, on a copy, as JSON."""
    out = shutil.copytree(first, tmp_path / "R")
    before = contents(out)
    answer = call(*job(material, out), "--json")
    assert contents(out) == before
    return answer


def test_heads_score_the_rows_and_the_share_is_searched_for(first: Path) -> None:
    config = yaml.safe_load((first / "run.yaml").read_text())["config"]
    assert (config["preset"], config["proxy"]["encoder"]) == ("recommended", "frozen")
    assert (config["select"]["strategy"], config["select"]["prune"]) == ("recommended", "auto")


def test_run_yaml_the_report_and_json_tell_the_same_decision(first: Path, again: Answer) -> None:
    told = yaml.safe_load((first / "run.yaml").read_text())["decision"]
    decision = again.json["decision"]
    assert {name: decision[name] for name in ("word", "sentence", "prune")} == {
        name: told[name] for name in ("word", "sentence", "prune")
    }
    assert again.json["selection"] == told["selection"]
    page = (first / "report.html").read_text(encoding="utf-8")
    assert told["word"].capitalize() in page and told["sentence"].split(";")[0] in page


def test_the_same_command_repeats_nothing(again: Answer) -> None:
    assert again.code == 0
    steps = [line.partition(":")[0] for line in again.err.splitlines() if "already done" in line]
    assert steps == [
        "train",
        "measure",
        "score",
        "select",
        *(["compare"] if again.json["decision"]["prune"] else []),
        "report",
    ]


def test_the_kept_file_has_the_rows_of_the_decision(first: Path, again: Answer, material: Path) -> None:
    rows = [
        *(first / "kept.jsonl").read_text().splitlines(),
        *(first / "dropped.jsonl").read_text().splitlines(),
    ]
    assert sorted(rows) == sorted((material / "train.jsonl").read_text().splitlines())
    decision = again.json["decision"]
    assert (
        again.json["n_kept"]
        == round(60 * (1 - decision["prune"]))
        == len((first / "kept.jsonl").read_text().splitlines())
    )
    assert decision["prune"] in (0.0, *(one["prune"] for one in decision["tried"]))
    assert decision["search"]["candidate"] == decision["tried"][0]["prune"] if decision["tried"] else True


def test_select_alone_takes_the_share_that_was_decided(first: Path, tmp_path: Path, call: Call) -> None:
    out = shutil.copytree(first, tmp_path / "R")
    assert call("select", out, "--prune", 0.1).code == 0
    assert (out / "kept.jsonl").read_bytes() != (first / "kept.jsonl").read_bytes()
    answer = call("select", out)
    assert answer.code == 0 and "heads" not in answer.err
    assert (out / "kept.jsonl").read_bytes() == (first / "kept.jsonl").read_bytes()


def test_a_score_that_is_named_alone_chooses_the_rows(first: Path, tmp_path: Path, call: Call) -> None:
    run = tmp_path / "run"
    shutil.copytree(first, run)
    chosen = call("select", run, "--by", "el2n", "--prune", 0.25, "--json").json
    assert (chosen["column"], chosen["strategy"], chosen["options"]) == ("el2n", "cutoff", {})
    scores = th.Run.open(run).scores()
    dropped = set(scores["id"]) - set(th.select(run, by="el2n", prune=0.25).filter("kept")["id"])
    easiest = scores.sort("el2n")["el2n"][len(dropped) - 1]
    assert all(scores.filter(pl.col("id").is_in(list(dropped)))["el2n"] <= easiest)
    rule = call("select", run, "--prune", 0.25, "--json").json
    assert rule["strategy"] == "recommended"


def test_suspects_are_listed_beside_the_kept_rows(first: Path, again: Answer) -> None:
    assert again.json["suspects"].endswith("suspects.csv")
    assert {"id", "given", "likely", "p_wrong"} <= set(pl.read_csv(first / "suspects.csv").columns)


def test_a_file_of_that_name_that_the_run_has_not_written_is_left_alone(
    material: Path, tmp_path: Path, call: Call
) -> None:
    out = tmp_path / "R"
    out.mkdir()
    (out / "suspects.csv").write_text("mine")
    answer = call(*job(material, out))
    assert answer.code == 2 and "suspects.csv" in answer.err and answer.err.count("\n") == 1
    assert (out / "suspects.csv").read_text() == "mine"


def test_a_plan_is_told_and_nothing_is_written(material: Path, tmp_path: Path, call: Call) -> None:
    answer = call(*job(material, tmp_path / "R"), "--plan")
    assert answer.code == 0 and not (tmp_path / "R").exists()
    assert [line.split()[0] for line in answer.out.splitlines()[:4]] == ["score", "search", "proof", "all"]
    assert "24 test rows" in answer.out
    found = call(*job(material, tmp_path / "R"), "--plan", "--json").json
    assert [one["name"] for one in found["stages"]] == ["score", "search", "proof"]
    assert 0 < found["seconds"][0] <= found["seconds"][1]


def test_a_budget_that_is_too_small_is_refused_before_anything_is_trained(
    material: Path, tmp_path: Path, call: Call
) -> None:
    answer = call(*job(material, tmp_path / "R"), "--budget", "0.01s", "--quiet")
    assert answer.code == 2 and answer.err.count("\n") == 1 and "--budget 0.01s is too small" in answer.err
    assert not (tmp_path / "R").exists()


def test_a_budget_takes_the_form_of_a_time(material: Path, tmp_path: Path, call: Call) -> None:
    answer = call(*job(material, tmp_path / "R"), "--budget", "soon")
    assert answer.code == 2 and "20m" in answer.err


PLAN = Plan(
    (Stage("score", "", 60, 60), Stage("search", "", 60, 120), Stage("proof", "", 300, 1000)),
    100,
    50,
    0.5,
    1,
    4610,
)


def fitted(budget: str | None) -> tuple[int, int]:
    found = within_budget(RunConfig(data=DATA, compare=CompareConfig(budget=budget)), PLAN).compare
    return found.seeds, found.most_seeds


def test_the_proof_gets_the_seeds_that_the_budget_leaves() -> None:
    # Ten seeds take 1,000 s, and scoring and the search 180 s.
    assert fitted(None) == (3, 10)
    assert fitted("1h") == (3, 10)
    assert fitted("10m") == (3, 4)
    assert fitted("400s") == (2, 2)
    with pytest.raises(UserError, match="give --budget 7m"):
        fitted("5m")


def preset(**sections: Any) -> tuple[str | int, str, str, float | str]:
    config = with_preset(RunConfig(data=DATA, **sections))
    return config.proxy.encoder, config.select.by, config.select.strategy, config.select.prune


def test_what_is_asked_for_is_not_filled_in() -> None:
    assert preset() == ("frozen", "vog", "recommended", "auto")
    assert preset(preset="paper") == ("none", "vog", "cutoff", 0.45)
    assert preset(select=SelectConfig(prune=0.3)) == ("frozen", "vog", "recommended", 0.3)
    assert preset(select=SelectConfig(by="el2n")) == ("none", "el2n", "cutoff", 0.45)
    assert preset(select=SelectConfig(strategy="random")) == ("none", "vog", "random", 0.45)
    assert preset(model=ModelConfig(freeze=True)) == ("none", "vog", "recommended", "auto")
    assert preset(measure=MeasureConfig(features=True)) == ("none", "vog", "recommended", 0.45)


@pytest.mark.parametrize(("right", "learned"), [(30, False), (34, False), (60, True)])
def test_heads_that_only_guess_the_largest_class_have_not_learned(right: int, learned: bool) -> None:
    # Of 100 rows 30 are of the largest class; two standard errors above it are 39.2 right.
    margins = [1.0] * right + [-1.0] * (100 - right)
    labels = [*("a" * 30), *("b" * 25), *("c" * 25), *("d" * 20)]
    scores = pl.DataFrame({"label": labels, "held_out_margin": margins})
    heads: Any = SimpleNamespace(config=SimpleNamespace(model=ModelConfig(freeze=True)))
    for model, remedy in ((ModelConfig(freeze=True), "leave out --freeze"), (ModelConfig(), "--proxy none")):
        config = SimpleNamespace(model=model)
        run: Any = SimpleNamespace(scores=lambda: scores, scoring=heads, config=config)
        assert (remedy in not_learned(run)) is not learned


def test_json_of_a_plan_is_json(material: Path, tmp_path: Path, call: Call) -> None:
    answer = call(*job(material, tmp_path / "R"), "--plan", "--json")
    assert json.loads(answer.out)["n_test"] == 24
