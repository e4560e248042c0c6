"""`thresher how-much`: what it refuses before hours of training, and the effect of floors and other test rows."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from command_line import Call, commands, contents, facts_of, frozen_run

from thresher.api import how_much, select
from thresher.config import DataConfig
from thresher.pipeline.test_rows import load_test, set_test
from thresher.rows import read_rows
from thresher.run import Run
from thresher.run.integrity import write_table

QUICK = [
    "--margin",
    99,
    "--validation",
    0.5,
    "--step",
    0.25,
    "--first-seeds",
    2,
    "--most-seeds",
    2,
    "--workers",
    1,
]
SEARCH: dict[str, Any] = {
    "margin": 99,
    "validation": 0.5,
    "step": 0.25,
    "first_seeds": 2,
    "most_seeds": 2,
    "workers": 1,
}


@pytest.fixture(scope="module")
def made(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored run of 80 rows with a frozen encoder; it is copied, not written to."""
    return frozen_run(material, tmp_path_factory.mktemp("searched"), 80, 40, epochs=3)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "RUN"))


def add_column(run: Path, name: str) -> None:
    """A column of the user's in the score table: its own row numbers."""
    path = run / ".thresher/score/scores.parquet"
    table = pl.read_parquet(path)
    write_table(path, table.with_columns(pl.Series(name, range(len(table)), dtype=pl.Float64)))


def refused(call: Call, run: Path, *asked: object) -> str:
    """The one line of a refusal, before which nothing is written."""
    before = contents(run)
    answer = call("how-much", run, *QUICK, *asked, "--quiet")
    assert answer.code == 2 and answer.err.count("\n") == 1, answer.err
    assert contents(run) == before
    return answer.err


def test_the_reported_share_is_the_one_dropped_if_rows_are_protected(call: Call, run: Path) -> None:
    asked = ["--by", "el2n", "--protect", "room=hall"]
    shown = call("how-much", run, *QUICK, "--step", 0.1, *asked)
    assert shown.code == 0, shown.err
    entry = facts_of(run, "how_much")
    outside = [
        pl.read_parquet(run / f".thresher/how_much/fold-{fold}-of-2" / ".thresher/rows/rows.parquet")
        for fold in range(2)
    ]
    assert sum(map(len, outside)) == 80
    for fold in range(2):
        scored = Run.open(run / f".thresher/how_much/fold-{fold}-of-2").scores()
        assert "el2n" in scored and "vog" not in scored, "what the selection does not read is not measured"
    in_hall, looks = sum(int((one["room"] == "hall").sum()) for one in outside), entry["looks"]
    assert looks[-1]["n_kept"] == in_hall and len({look["n_kept"] for look in looks}) == len(looks)
    assert entry["removed"] == looks[-1]["removed"] == pytest.approx(1 - in_hall / 80, abs=1e-6)
    went = f"{100 * entry['removed']:.4g}%"
    assert entry["sentence"].startswith(
        f"{went} of the rows can be dropped (prune {entry['fraction']:g}; floors"
    )
    assert [f"{look['fraction']:g}" for look in looks] == [
        line.split()[0] for line in shown.out.splitlines() if line.startswith("0.")
    ]
    assert any(line.split()[:2] == [f"{entry['fraction']:g}", went] for line in shown.out.splitlines())
    chosen = select(run, prune="auto", by="el2n", protect=["room=hall"])
    assert int(chosen["kept"].sum()) == entry["confirmed"]["n_kept"]
    assert f"without {100 * entry['confirmed']['removed']:.4g}% of all training rows" in entry["sentence"]


def test_the_table_shows_shares_as_finely_as_they_are_tried(call: Call, run: Path) -> None:
    shown = call("how-much", run, *QUICK, "--by", "el2n", "--step", 0.375)
    assert shown.code == 0, shown.err
    looks = facts_of(run, "how_much")["looks"]
    lines = [line.split()[:2] for line in shown.out.splitlines() if line.startswith("0.")]
    assert lines == [[f"{look['fraction']:g}", f"{100 * look['removed']:.4g}%"] for look in looks]
    assert lines[0][0] == "0.375"


def test_it_is_searched_again_after_other_test_rows_were_used(run: Path) -> None:
    first = how_much(run, by="el2n", **SEARCH)
    rows, test = (
        read_rows(run / ".thresher/rows/rows.parquet"),
        read_rows(run / ".thresher/rows/test.parquet"),
    )
    data = DataConfig(train="-", text=("utterance",), label="intent")
    other = load_test(pl.DataFrame(commands(30, seed=9)), rows, data)
    opened = set_test(Run.open(run), rows, other, None)
    assert how_much(run, by="el2n", **SEARCH)["test"] == other.hash() != first["test"]
    set_test(opened, rows, test, None)
    assert how_much(run, by="el2n", **SEARCH) == first
    assert facts_of(run, "how_much") == first.to_dict()
    assert int(select(run, prune="auto", by="el2n")["kept"].sum()) == first["confirmed"]["n_kept"]


def test_a_result_that_was_edited_by_hand_is_computed_again(run: Path) -> None:
    first = how_much(run, by="el2n", **SEARCH)
    path = run / ".thresher/how_much/step.json"
    path.write_text(path.read_text().replace('"margin"', '"margins"'))
    assert how_much(run, by="el2n", **SEARCH) == first


def test_each_fold_is_scored_and_told_once(call: Call, run: Path) -> None:
    told = call("how-much", run, *QUICK, "--by", "el2n").err.splitlines()
    folds = [line for line in told if line.endswith("is scored by the other rows")]
    assert folds == [f"how-much: fold {fold} of 2 is scored by the other rows" for fold in (1, 2)]
    assert [line for line in told if "fold-" in line and "already done" in line] == []


def test_a_column_that_only_this_run_has_is_refused_before_anything_is_trained(call: Call, run: Path) -> None:
    add_column(run, "mine")
    assert "column 'mine' was added to the score table" in refused(call, run, "--by", "mine")
    mixed = ["--strategy", "mixed", "--by", "el2n,mine"]
    assert "column 'mine' was added to the score table" in refused(call, run, *mixed)
    assert "column 'mine' was not loaded" in refused(call, run, "--by", "el2n", "--floor-group", "mine")
    assert "'yours' is not a score or a column" in refused(call, run, "--by", "yours")


def test_it_uses_the_first_score_that_the_nested_run_also_has(call: Call, run: Path) -> None:
    add_column(run, "hardest_view")
    found = how_much(run, strategy="recommended", **SEARCH)
    assert found["arm"]["score"] == "held_out_margin+correctness"
    assert found["confirmed"]["arm"]["score"] == "hardest_view+correctness"
    chosen = select(run, prune="auto", strategy="recommended")
    assert int(chosen["kept"].sum()) == found["confirmed"]["n_kept"]
    answer = call("how-much", run, *QUICK, "--strategy", "cutoff", "--by", "hardest_view", "--quiet")
    assert answer.code == 2 and answer.err.count("\n") == 1
    assert "fold-0-of-2: 'hardest_view' was not computed in this run" in answer.err


def test_a_share_that_holds_out_no_row_is_refused_before_anything_is_trained(call: Call, run: Path) -> None:
    answer = refused(call, run, "--by", "el2n", "--validation", 0.0001)
    assert "--validation 0.0001 sets none of the 80 training rows aside" in answer


def test_if_nothing_can_be_dropped_it_is_refused_before_anything_is_trained(call: Call, run: Path) -> None:
    answer = refused(call, run, "--by", "el2n", "--protect", "room=hall", "--protect", "room=kitchen")
    assert "no multiple of 0.25 takes some of 80 rows away" in answer
