"""Selection via proxy on the command line: a cheaper model scores, and the comparison trains the run's own model."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import Call, comparisons, contents, training

from thresher.pipeline.other_model import FROZEN_RUNS
from thresher.run import Run


def without_proxy(material: Path, out: Path) -> list[object]:
    """The options of the training that `made` asks for, but for its proxy."""
    data = ["--text", "utterance", "--label", "intent", "--group", "room", "--model", material / "tiny"]
    quick = ["--epochs", 2, "--batch-size", 8, "--checkpoints", 3, "--threads", 1, "--workers", 1]
    return [material / "train.jsonl", *data, *quick, "--out", out]


@pytest.fixture(scope="module")
def made(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole job whose rows the first layer of the model scored; it is copied, not written to."""
    from thresher.api import load, run

    folder = tmp_path_factory.mktemp("proxy") / "RUN"
    rows = load(material / "train.jsonl", text="utterance", label="intent", groups=["room"])
    run(
        rows,
        out=folder,
        test=material / "test.jsonl",
        model=str(material / "tiny"),
        proxy=1,
        epochs=2,
        batch_size=8,
        checkpoints=3,
        threads=1,
        workers=1,
        seeds=2,
        by="el2n",
        prune=0.5,
    )
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "RUN"))


def test_the_scores_are_those_of_a_run_of_the_first_layers(call: Call, material: Path, run: Path) -> None:
    alone = run.parent / "ALONE"
    asked = [*without_proxy(material, alone), "--layers", 1]
    assert call("train", *asked).code == 0
    assert call("measure", alone, "--workers", 1).code == 0
    assert call("score", alone).code == 0
    found = Run.open(run).scores()
    assert found.equals(pl.read_parquet(alone / ".thresher/score/scores.parquet"))


def test_the_comparison_trains_the_model_of_the_run(call: Call, material: Path, run: Path) -> None:
    assert not (run / ".thresher/train/checkpoints").exists(), "the run's own model was trained for scores"
    plain = run.parent / "PLAIN"
    proof = [
        "--test",
        material / "test.jsonl",
        "--seeds",
        2,
        "--most-seeds",
        2,
        "--prune",
        0.5,
        "--by",
        "el2n",
    ]
    assert call("run", *without_proxy(material, plain), *proof).code == 0
    arms = [next(iter(comparisons(folder).values()))["arms"] for folder in (run, plain)]
    assert arms[0]["full"] == arms[1]["full"]
    assert arms[0]["random"] == arms[1]["random"]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "its first 1 layer" in page


def test_nothing_is_repeated_except_damaged_files(call: Call, run: Path) -> None:
    before = contents(run)
    for step in ("measure", "score", "select", "compare"):
        answer = call(step, run)
        assert answer.code == 0 and "already done" in answer.err, answer.err
    assert contents(run) == before
    scores = Run.open(run).scores()
    (run / ".thresher/proxy" / ".thresher/score/scores.parquet").write_bytes(b"")
    assert call("score", run).code == 0
    assert Run.open(run).scores().equals(scores)


def test_a_frozen_proxy_has_its_own_recipe(call: Call, material: Path, tmp_path: Path) -> None:
    answer = call("train", *training(material, tmp_path / "RUN"), "--proxy", "frozen")
    assert answer.code == 0, answer.err
    assert answer.err.count("3 classes") == 1, "what the rows hold is said once"
    inner = Run.open(tmp_path / "RUN" / ".thresher/proxy").config
    assert inner.model.freeze
    assert (inner.train.epochs, inner.train.batch_size, inner.train.head_lr) == (6, 8, 5e-3)
    assert inner.train.runs == FROZEN_RUNS
    assert call("measure", tmp_path / "RUN").code == 0
    assert call("score", tmp_path / "RUN").code == 0
    scores = Run.open(tmp_path / "RUN").scores()
    assert scores.height == 60 and {"aum", "correctness", "d2"} <= set(scores.columns)


def test_a_frozen_proxy_also_scores_words_unless_switched_off(
    call: Call, material: Path, run: Path, tmp_path: Path
) -> None:
    def views(folder: Path, *asked: str) -> set[str]:
        assert call("measure", folder, *asked).code == 0
        assert call("score", folder).code == 0
        return {"word_margin", "hardest_view"} & set(Run.open(folder).scores().columns)

    assert call("train", *training(material, tmp_path / "FROZEN"), "--proxy", "frozen").code == 0
    assert views(tmp_path / "FROZEN") == {"word_margin", "hardest_view"}
    assert views(tmp_path / "FROZEN", "--no-words") == set()
    assert views(run) == set(), "this proxy is fine-tuned"
    assert views(run, "--words") == {"word_margin"}, "it was not cross-validated"


def test_a_frozen_proxy_of_few_layers_and_one_training(call: Call, material: Path, tmp_path: Path) -> None:
    asked = [*training(material, tmp_path / "RUN"), "--proxy", "frozen-1", "--set", "proxy.trainings=1"]
    answer = call("train", *asked)
    assert answer.code == 0, answer.err
    inner = Run.open(tmp_path / "RUN" / ".thresher/proxy").config
    assert (inner.model.freeze, inner.model.layers, inner.train.runs) == (True, 1, 1)
    answer = call("train", *asked[:-2])
    assert answer.code == 2 and "other settings" in answer.err
    assert call("measure", tmp_path / "RUN").code == 0
    assert call("score", tmp_path / "RUN").code == 0
    assert call("select", tmp_path / "RUN", "--strategy", "recommended", "--prune", 0.4).code == 0
    assert call("report", tmp_path / "RUN").code == 0
    page = (tmp_path / "RUN" / "report.html").read_text(encoding="utf-8")
    assert "a head on the first 1 layer of the encoder as it is" in page


def test_suspects_how_much_and_noise_work_on_what_the_proxy_measured(call: Call, run: Path) -> None:
    answer = call("suspects", run, "--out", run.parent / "suspects.csv")
    assert answer.code == 0, answer.err
    search = ["--by", "el2n", "--margin", 99, "--step", 0.5, "--first-seeds", 2, "--most-seeds", 2]
    answer = call("how-much", run, *search, "--workers", 1)
    assert answer.code == 0, answer.err
    inner = run / ".thresher/how_much" / "validation-0.2"
    assert Run.open(inner).scoring.folder == inner / ".thresher/proxy"
    levels = ["--kinds", "class", "--levels", 0.2, "--fractions", 0.5, "--hard-fractions", 0.1, "--seeds", 2]
    answer = call("noise", run, *levels, "--workers", 1)
    assert answer.code == 0, answer.err


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (["--proxy", "frozen", "--freeze"], "--proxy"),
        (["--proxy", 7], "has 2 layers, so 7 cannot be kept; give 1 to 2"),
        (["--proxy", "frozen-7"], "has 2 layers, so 7 cannot be kept; give 1 to 2"),
        (["--proxy", "frozen-0"], "--proxy must be"),
        (["--proxy", 0], "--proxy must be"),
        (["--proxy", "small"], "--proxy must be"),
    ],
)
def test_an_impossible_proxy_is_refused_before_anything_is_written(
    call: Call, material: Path, tmp_path: Path, asked: list[Any], named: str
) -> None:
    answer = call("train", *training(material, tmp_path / "RUN"), *asked)
    assert answer.code == 2
    assert named in answer.err and answer.err.count("\n") == 1
    assert not (tmp_path / "RUN").exists()


def test_another_proxy_is_another_run(call: Call, material: Path, tmp_path: Path) -> None:
    asked = training(material, tmp_path / "RUN")
    assert call("train", *asked, "--proxy", 1).code == 0
    for other in ([], ["--proxy", "frozen"]):
        answer = call("train", *asked, *other)
        assert answer.code == 2 and "other settings" in answer.err
    assert call("train", *asked, "--force").code == 0
    assert not (tmp_path / "RUN" / ".thresher/proxy").exists()
    assert Run.open(tmp_path / "RUN").scoring.folder == tmp_path / "RUN"


def test_steps_that_need_the_models_own_checkpoints_are_refused(call: Call, run: Path) -> None:
    answer = call("explain", run, "--text", "play music", "--label", "music")
    assert answer.code == 2 and "proxy" in answer.err
