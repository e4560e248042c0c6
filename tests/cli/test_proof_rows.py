"""`--proof-rows`: the proof trains on a part of the rows, of each class its share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from command_line import Call, frozen_run, write_jsonl

import thresher as th
from thresher.config import CompareConfig
from thresher.experiments.arm_cells import arm_cells, kept_rows, selection_of
from thresher.experiments.proof_rows import proof_rows, tell_idle


def test_every_class_has_its_share_whatever_the_order_of_the_rows() -> None:
    labels = ["a"] * 700 + ["b"] * 200 + ["c"] * 97 + ["d"] * 3
    table = pl.DataFrame({"id": [f"row {n}" for n in range(1000)], "label": labels})
    chosen = table.filter(pl.Series(proof_rows(table, "label", 100)))
    counts = dict(chosen["label"].value_counts().iter_rows())
    assert chosen.height == 100 and all(abs(counts[name] - 0.1 * labels.count(name)) <= 1 for name in "abcd")
    shuffled = table.sample(fraction=1, shuffle=True, seed=3)
    again = shuffled.filter(pl.Series(proof_rows(shuffled, "label", 100)))
    assert set(again["id"]) == set(chosen["id"])
    # More rows are more of the same.
    assert set(chosen["id"]) <= set(table.filter(pl.Series(proof_rows(table, "label", 300)))["id"])
    assert set(table.filter(pl.Series(proof_rows(table, "label", 4)))["label"]) == set("abcd")
    for number in (None, 1000, 5000):
        assert proof_rows(table, "label", number).all()


def test_a_part_of_all_rows_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    for number in (None, 59, 60, 9999):
        tell_idle(number, 60)
    assert capsys.readouterr().err == "".join(
        f"warning: --proof-rows {number}: there are 60 rows, so the proof trains on all of them\n"
        for number in ("60", "9,999")
    )


def test_kept_and_random_rows_are_those_of_the_part(material: Path, tmp_path: Path, call: Call) -> None:
    run = th.Run.open(frozen_run(material, tmp_path, 200, 40, epochs=1))
    th.select(run, prune=0.4, by="aum")
    found = th.compare(run, seeds=2, proof_rows=90, workers=1)
    rows = pl.read_parquet(run.rows_file)
    part = set(rows.filter(pl.Series(proof_rows(rows, "intent", 90)))["id"])
    kept = set(selection_of(run, found.selection).filter("kept")["id"])
    of_part = len(part & kept)
    counts = {arm: found.arms[arm]["n_train"] for arm in ("full", "kept", "random")}
    assert counts == {"full": 90, "kept": of_part, "random": of_part} and 0 < of_part < 90
    assert (found.settings["n_full"], found.settings["n_kept"], found.settings["proof_rows"]) == (
        200,
        120,
        90,
    )
    said = "The proof trained on 90 of the 200 rows, drawn class by class"
    assert said in found.verdict and said in found.decision["sentence"]
    cells = arm_cells(run, CompareConfig(seeds=2, most_seeds=2, proof_rows=90))
    ids = rows["id"].to_numpy()
    for arm, allowed in (("full", part), ("kept", part & kept), ("random", part)):
        for cell in cells[arm]:
            assert set(ids[cell["rows"]]) <= allowed
    drawn = [set(cell["rows"].tolist()) for cell in cells["random"]]
    assert drawn[0] != drawn[1]
    # The whole file is still what was selected.
    assert kept_rows(rows["id"], selection_of(run, found.selection)).sum() == 120
    assert np.isclose(found.settings["steps_full"], -(-90 // 8))
    whole = call("compare", run.folder, "--seeds", 2, "--workers", 1, "--json").json
    assert whole["settings"]["proof_rows"] == 200 and "The proof trained on" not in whole["verdict"]


def test_the_plan_counts_the_part(material: Path, tmp_path: Path, call: Call) -> None:
    rows = [{"text": f"{word} it {n}", "label": word} for n in range(60) for word in ("play", "stop")]
    train = write_jsonl(tmp_path / "train.jsonl", rows)
    given = [
        "run",
        train,
        "--text",
        "text",
        "--label",
        "label",
        "--model",
        material / "tiny",
        "--plan",
        "--json",
        "--preset",
        "paper",
        "--out",
        tmp_path / "R",
    ]
    whole, part = (call(*given, *more).json for more in ((), ("--proof-rows", 20)))
    seconds = [
        next(stage["high"] for stage in one["stages"] if stage["name"] == "proof") for one in (whole, part)
    ]
    assert seconds[1] < seconds[0]
