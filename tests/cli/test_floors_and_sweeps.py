"""Floors and protected rows in a comparison: there are as many random rows as kept rows, not as requested."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command_line import Call, cells_of, commands, comparisons, contents, frozen_run, sweep_of

from thresher.api import load
from thresher.config import DataConfig, SelectConfig
from thresher.run import Run

DATA = DataConfig(train="-", text=("utterance",), label="intent")
SWEEP = ["--scores", "el2n", "--ends", "easy", "--fractions", "0.4,0.9", "--seeds", 2, "--workers", 1]


@pytest.fixture(scope="module")
def made(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored run of 60 rows with a frozen encoder; it is copied, not written to."""
    return frozen_run(material, tmp_path_factory.mktemp("floors"), 60, 40, epochs=3, folds=0)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "RUN"))


def swept(call: Call, run: Path, *options: object) -> dict[float, dict[str, Any]]:
    """The lines of EL2N's cut-off by fraction."""
    answer = call("sweep", run, *SWEEP, *options)
    assert answer.code == 0, answer.err
    return {line["fraction"]: line for line in sweep_of(run)["table"] if line["score"] == "el2n"}


def test_there_are_as_many_random_rows_as_kept_rows_with_protection(call: Call, run: Path) -> None:
    in_hall = int((pl.read_parquet(run / ".thresher/rows/rows.parquet")["room"] == "hall").sum())
    assert 6 < in_hall < 36
    line = swept(call, run, "--protect", "room=hall")[0.9]
    assert line["n"] == in_hall
    cells = cells_of(run).values()
    alike = [cell["accuracy"] for cell in cells if cell["arm"] == "random" and cell["n_train"] == in_hall]
    assert len(alike) == 2
    assert line["to_random"]["mean"] == pytest.approx(line["accuracy"]["mean"] - np.mean(alike), abs=2e-5)


def test_the_table_and_the_picture_show_how_many_rows_were_really_dropped(call: Call, run: Path) -> None:
    in_hall = int((pl.read_parquet(run / ".thresher/rows/rows.parquet")["room"] == "hall").sum())
    shown = call("sweep", run, *SWEEP, "--protect", "room=hall")
    went = 100 * (1 - in_hall / 60)
    (line,) = [line for line in shown.out.splitlines() if line.startswith("el2n easy cutoff")]
    assert line.endswith(f"at {went:.3g}%") and line.count(" at ") == 1
    from thresher.report.pictures.sweep import sweep
    from thresher.report.read import read_run

    picture = sweep(read_run(Run.open(run)))
    assert picture is not None
    curve = next(trace for trace in picture["traces"] if trace.get("name") == "el2n, easy")
    assert curve["x"] == [0.0, 40.0, pytest.approx(went, abs=1e-3)]


def test_a_selection_by_the_rule_does_not_outdate_a_sweep_of_other_arms(call: Call, run: Path) -> None:
    before = swept(call, run)
    assert call("select", run, "--strategy", "recommended", "--prune", 0.4).code == 0
    answer = call("sweep", run, *SWEEP)
    assert "sweep: already done" in answer.err
    assert call("sweep", run, *SWEEP, "--force").code == 0
    assert swept(call, run) == before


def test_a_selection_that_keeps_every_row_cannot_be_compared(call: Call, run: Path) -> None:
    protected = ["--protect", "room=hall", "--protect", "room=kitchen"]
    assert call("select", run, "--by", "el2n", "--prune", 0.4, *protected).code == 0
    answer = call("compare", run, "--seeds", 2)
    assert answer.code == 2
    assert answer.err.strip().endswith("keeps all 60 rows, so there is nothing to prove; prune more")
    assert not cells_of(run)


def test_floors_keep_rows_where_the_share_alone_would_keep_none(call: Call, run: Path) -> None:
    answer = call("select", run, "--by", "el2n", "--prune", 0.995, "--quiet")
    assert answer.code == 0, answer.err
    assert "keeps no row of 3 classes (light, music, weather): the floor keeps up to 1 of each" in answer.err
    kept = [json.loads(line)["intent"] for line in (run / "kept.jsonl").read_text().splitlines()]
    assert sorted(kept) == ["light", "music", "weather"]


def test_test_rows_may_have_columns_of_other_names(made: Path) -> None:
    from thresher.errors import UserError
    from thresher.pipeline.test_rows import load_test
    from thresher.rows import read_rows

    rows = read_rows(made / ".thresher/rows/rows.parquet")
    named = {"utterance": "said", "intent": "meant"}
    table = pl.DataFrame(commands(40, seed=4)).rename(named)
    test = load_test(load(table, text="said", label="meant", groups=["room"]), rows, DATA)
    assert (test.text, test.label) == (("utterance",), "intent")
    assert test.table["intent"].to_list() == table["meant"].to_list()
    strange = table.with_columns(intent=pl.lit("x"))
    with pytest.raises(UserError, match="a group column 'intent', which is a text or the label"):
        load_test(load(strange, text="said", label="meant", groups=["intent"]), rows, DATA)


def test_test_rows_need_neither_the_groups_nor_the_ids_of_the_training_rows(
    call: Call, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from thresher.errors import UserError
    from thresher.pipeline.test_rows import load_test
    from thresher.rows import read_rows

    rows = read_rows(run / ".thresher/rows/rows.parquet")
    assert rows.groups
    table = pl.DataFrame(commands(40, seed=4)).select("utterance", "intent")
    capfd.readouterr()
    test = load_test(table, rows, DATA.model_copy(update={"id": "id"}))
    assert test.groups == () and test.table["id"].n_unique() == 40
    answer = capfd.readouterr().err
    assert "test rows have no column 'id': their ids are made from their content" in answer
    assert f"test rows have no column '{rows.groups[0]}': no results are reported by it" in answer
    with pytest.raises(UserError, match="no column 'intent'"):
        load_test(table.drop("intent"), rows, DATA)
    assert (
        call("select", run, "--by", "el2n", "--prune", 0.4, "--floor", 3, "--floor-group", "room").code == 0
    )
    table.write_csv(run.parent / "test.csv")
    assert call("compare", run, "--test", run.parent / "test.csv", "--seeds", 2).code == 0
    found = next(iter(comparisons(run).values()))
    assert set(found["groups"]) == {"label"}
    assert call("sweep", run, *SWEEP).code == 0
    assert call("report", run).code == 0


def test_a_selection_takes_no_settings_from_the_one_before(run: Path, call: Call) -> None:
    hard = ["--by", "el2n", "--end", "hard", "--strategy", "softmax", "--strategy-option", "temperature=0.5"]
    assert call("select", run, *hard, "--prune", 0.4, "--protect", "room=hall").code == 0
    before = (run / "run.yaml").read_bytes()
    second = call("select", run, "--by", "el2n", "--prune", 0.3, "--json")
    assert "from run.yaml" not in second.err
    asked = SelectConfig(by="el2n", prune=0.3).model_dump(mode="json")
    assert {name: second.json[name] for name in asked} == asked
    assert (run / "run.yaml").read_bytes() == before


def test_a_selection_reports_the_settings_it_takes_from_run_yaml(run: Path, call: Call) -> None:
    text = (run / "run.yaml").read_text()
    (run / "run.yaml").write_text(
        text.replace("end: easy", "end: hard").replace("protect: []", "protect: [room=hall]")
    )
    answer = call("select", run, "--by", "el2n", "--prune", 0.3, "--json")
    assert "select: from run.yaml: end hard, protect room=hall\n" in answer.err
    assert (answer.json["end"], answer.json["protect"]) == ("hard", ["room=hall"])


def test_settings_that_a_selection_does_not_use_are_not_named(run: Path, call: Call) -> None:
    answer = call("select", run, "--strategy", "random", "--prune", 0.4)
    assert "select: 36 of 60 rows kept by a random draw, which reads no score" in answer.err
    answer = call("select", run, "--strategy", "cutoff", "--by", "el2n", "--prune", 0.4)
    assert "select: 36 of 60 rows kept by el2n (easy end pruned, cutoff)" in answer.err
    refused = call("select", run, "--prune", 0.3, "--out", run.parent / "x.parquet")
    assert (
        refused.code == 2
        and "is a run, which writes kept and dropped rows into its folder; --out is for a table of scores"
        in refused.err
    )


def test_settings_that_compare_refuses_change_no_comparison_and_no_test_rows(run: Path, call: Call) -> None:
    import thresher as th

    assert call("select", run, "--by", "el2n", "--prune", 0.4).code == 0
    th.compare(run, seeds=2)
    before = contents(run)
    for wrong, answer in (({"seeds": 1}, r"compare\.seeds must"), ({"seed": 3}, "did you mean 'seeds'")):
        with pytest.raises(th.UserError, match=answer):
            th.compare(run, test=pl.DataFrame(commands(40, seed=4)), **wrong)
    assert contents(run) == before
