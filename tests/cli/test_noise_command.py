"""`thresher noise`: the tables that it prints, and what it refuses before it trains anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Call, commands, contents, write_jsonl

import thresher as th
from thresher.cli import terminal
from thresher.cli.noise import accuracy_lines, found_lines
from thresher.run import Run

Make = Callable[..., Path]


def level(*tried: tuple[str | None, str, float, float], found: dict[str, float]) -> dict[str, Any]:
    """A level as `results.json` holds it: (score, end, fraction, difference to all rows), and recall by score."""
    table = [
        {"score": score, "end": end, "fraction": fraction, "to_full": {"mean": difference}}
        for score, end, fraction, difference in tried
    ]
    return {
        "share_changed": 0.1,
        "full": {"accuracy": {"mean": 0.9}},
        "table": table,
        "found": {name: {"recall": recall} for name, recall in found.items()},
        "chance": {"precision": 0.1},
    }


def test_a_fraction_that_is_pruned_from_both_ends_has_one_line_of_random_rows() -> None:
    random, easy, hard = (
        (None, "random", 0.1, -0.02),
        ("vog", "easy", 0.1, 0.01),
        ("pvi", "hard", 0.1, 0.03),
    )
    lines = accuracy_lines([level(random, hard, random, easy, found={})] * 2)
    assert lines[2:] == [
        ["10% off, random", "-2.00", "-2.00"],
        ["10% off, pvi hard", "+3.00", "+3.00"],
        ["10% off, vog easy", "+1.00", "+1.00"],
    ]
    terminal.table(("points to all rows", "one", "other"), lines)


def test_fractions_that_round_to_the_same_percent_keep_a_line_each() -> None:
    lines = accuracy_lines([level((None, "random", 0.12, 0.0), (None, "random", 0.125, 0.01), found={})])
    assert lines[2:] == [["12% off, random", "+0.00"], ["12.5% off, random", "+1.00"]]


def test_a_score_missing_at_a_level_gets_a_dash() -> None:
    levels = [
        level(("vog", "easy", 0.3, 0.0), found={"aum": 0.5, "hardest_view": 0.4}),
        level(("pvi", "hard", 0.3, 0.01), found={"aum": 0.6, "knn": 0.7}),
    ]
    assert accuracy_lines(levels)[2:] == [
        ["30% off, vog easy", "+0.00", "–"],
        ["30% off, pvi hard", "–", "+1.00"],
    ]
    assert found_lines(levels) == [
        ["aum", "50.0", "60.0"],
        ["hardest_view", "40.0", "–"],
        ["knn", "–", "70.0"],
        ["chance", "10.0", "10.0"],
    ]


@pytest.fixture(scope="module")
def made(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Scored runs of few rows, with a frozen encoder and test rows."""

    def run(rows: int) -> Path:
        folder = tmp_path_factory.mktemp("noise")
        write_jsonl(folder / "train.jsonl", commands(rows, seed=1))
        loaded = th.load(folder / "train.jsonl", text="utterance", label="intent")
        quick: dict[str, Any] = {"epochs": 2, "batch_size": 8, "checkpoints": 2, "threads": 1, "workers": 1}
        out = th.train(
            loaded,
            out=folder / "RUN",
            test=material / "test.jsonl",
            model=str(material / "tiny"),
            freeze=True,
            **quick,
        )
        th.measure(out, workers=1)
        th.score(out)
        return out

    return run


@pytest.fixture(scope="module")
def of_20_rows(made: Make) -> Run:
    return made(20)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--levels", "0.02,0.3"],
            "noise isotropic 0.02 changes none of the 20 labels; give other --levels, or another --seed",
        ),
        (["--fractions", "0.01,0.5"], "pruning 0.01 of 20 rows takes away none; give other --fractions"),
        (
            ["--hard-fractions", "0.1,0.99"],
            "pruning 0.99 of 20 rows leaves none; give other --hard-fractions",
        ),
    ],
)
def test_uninformative_settings_are_refused_in_one_line_and_former_levels_are_kept(
    of_20_rows: Run, call: Call, options: list[str], message: str
) -> None:
    settings = ["--levels", 0.3, "--fractions", 0.5, "--hard-fractions", 0.1]
    done = call("noise", of_20_rows, *settings, "--seeds", 2, "--workers", 1)
    assert done.code == 0, done.err
    before = contents(of_20_rows.folder)
    refused = call("noise", of_20_rows, *settings, *options, "--seeds", 2, "--workers", 1, "--force")
    assert refused.code == 2
    assert refused.err == f"error: {message}\n"
    assert contents(of_20_rows.folder) == before


def test_rows_too_few_to_compare_scores_are_refused_before_any_training(made: Make, call: Call) -> None:
    run = made(8)
    refused = call("noise", run, "--levels", 0.5, "--fractions", 0.5, "--hard-fractions", 0.5, "--seeds", 2)
    assert refused.code == 2
    assert refused.err == (
        "error: noise compares scores by their hardest 5%, and that is no row of 8; train on more rows\n"
    )
    assert not (run / ".thresher/noise").exists()
