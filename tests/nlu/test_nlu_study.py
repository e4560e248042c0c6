"""The study on toy rows: real trainings, real processes, and figures counted by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from toy import toy_config, toy_rows

from thresher.errors import UserError
from thresher.nlu.metrics import counts, dcer
from thresher.nlu.rows import as_table
from thresher.nlu.study.cells import run_cells
from thresher.nlu.study.run import planned, run_study, without_test_texts
from thresher.run.integrity import read_json

PLAN = {0.5: ("random", "vog-dataset")}


def scores_for(rows: pl.DataFrame) -> pl.DataFrame:
    vog = np.arange(rows.height, dtype=float)
    columns = {"vog": vog, "vog_class": vog, "vog_dataset": vog, "trail_entropy": vog}
    return rows.select("id", "domain", "intent", "source").with_columns(
        **{name: pl.Series(v) for name, v in columns.items()}
    )


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("study")
    return folder / "out", _run(folder, folder / "out")


def _run(models: Path, out: Path) -> dict[str, Any]:
    rows = toy_rows(2)
    config = toy_config(models, **{"domain.max_steps": 4, "joint.max_steps": 4})
    tests = {"one": toy_rows(1), "two": toy_rows(1).filter(domain="music")}
    return run_study(
        rows, tests, scores_for(rows), out, config, samples=2, plan=PLAN, mixed_sources=False, workers=1
    )


def test_every_figure_follows_from_the_stored_answers(study: tuple[Path, dict[str, Any]]) -> None:
    folder, results = study
    assert read_json(folder / "results.json") == json.loads(json.dumps(results))
    test = pl.read_parquet(folder / "test.parquet")
    errors: dict[tuple[str, int], float] = {}
    for file in (folder / "cells").glob("*.json"):
        facts = json.loads(file.read_text())
        errors[facts["technique"], facts["sample"]] = dcer(
            counts(test, pl.read_parquet(file.with_suffix(".parquet")))
        ).value
    assert len(errors) == 6 and results["tests"] == {"one": 8, "two": 3}
    for entry in results["techniques"]:
        found, name = entry["metrics"]["DCER"], entry["technique"]
        pruned, full = (np.mean([errors[arm, sample] for sample in (0, 1)]) for arm in (name, "full"))
        assert found["error"] == pytest.approx(pruned) and found["full"] == pytest.approx(full)
        assert found["mean"] == pytest.approx((pruned - full) / full)
        assert entry["sigma"]["DCER"] == pytest.approx(100 * found["mean"] / -0.5)
        assert found["low"] <= found["mean"] <= found["high"]
        kept = round(sum(facts["n_train"] * (1 - facts["removed"]) for facts in entry["domains"].values()))
        assert kept == entry["n_train"] == 8
    assert {row["domain"] for row in results["entropy"]} == {"home", "music", "weather"}


def test_a_second_call_trains_nothing_and_a_lost_cell_gives_the_same_result(
    study: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, results = study
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    files = {path: path.stat().st_mtime_ns for path in (copy / "cells").iterdir()}
    lost = sorted(path for path in files if path.suffix == ".json")[0]
    lost.unlink()
    answers = pl.read_parquet(lost.with_suffix(".parquet"))
    lost.with_suffix(".parquet").unlink()
    again = _run(folder.parent, copy)
    changed = {path for path in files if path.stat().st_mtime_ns != files[path]}
    assert changed == {lost, lost.with_suffix(".parquet")}
    assert pl.read_parquet(lost.with_suffix(".parquet")).equals(answers)
    assert [entry["metrics"] for entry in again["techniques"]] == [
        entry["metrics"] for entry in results["techniques"]
    ]


def test_a_study_resumed_on_another_processor_keeps_its_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processor: Callable[..., None]
) -> None:
    trained_with = []

    def note(folder: Path, cells: Any, config: Any, *rest: Any) -> dict[str, Any]:
        trained_with.append(config.domain.bf16)
        return run_cells(folder, cells, config, *rest)

    monkeypatch.setattr("thresher.nlu.study.run.run_cells", note)
    config = toy_config(tmp_path, **{"domain.max_steps": 2, "joint.max_steps": 2, "domain.bf16": "auto"})
    rows = toy_rows(1)
    for tiles in (True, False):
        processor(amx_bf16=tiles)
        run_study(
            rows,
            {"one": rows},
            scores_for(rows),
            tmp_path / "out",
            config,
            samples=1,
            plan={},
            mixed_sources=False,
        )
    assert trained_with == [True, True]


def test_a_folder_of_another_study_and_scores_of_other_rows_are_refused(
    study: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    rows = toy_rows(2)
    config = toy_config(study[0].parent, **{"domain.max_steps": 5})
    tests = {"one": toy_rows(1), "two": toy_rows(1).filter(domain="music")}
    same = {"domain.max_steps": 4, "joint.max_steps": 4}
    for change in ({"domain.max_steps": 5}, {"domain_threshold": 0.5}):  # kept answers used the thresholds
        other = toy_config(study[0].parent, **(same | change))
        with pytest.raises(UserError, match="holds a study of other rows"):
            run_study(rows, tests, scores_for(rows), study[0], other, plan=PLAN, mixed_sources=False)
    with pytest.raises(
        UserError,
        match="the ids of the scores differ from those of the training rows; score these rows first",
    ):
        run_study(
            rows,
            {"one": toy_rows(1)},
            scores_for(rows)[:-1],
            tmp_path / "x",
            config,
            plan=PLAN,
            mixed_sources=False,
        )
    with pytest.raises(UserError, match="unknown technique 'vgo'"):
        run_study(
            rows,
            {"one": toy_rows(1)},
            scores_for(rows),
            tmp_path / "x",
            config,
            plan={0.5: ("vgo",)},
            mixed_sources=False,
        )


def test_a_folder_with_other_files_is_refused_and_unchanged(tmp_path: Path) -> None:
    rows, scores = toy_rows(2), tmp_path / "RUN" / "scores.parquet"
    scores.parent.mkdir()
    scores.write_bytes(b"of a run")
    with pytest.raises(UserError, match=r"has files but no study\.json; choose another --out"):
        run_study(rows, {"one": rows}, scores_for(rows), scores.parent, toy_config(tmp_path), plan=PLAN)
    assert [path.name for path in scores.parent.iterdir()] == ["scores.parquet"]
    assert scores.read_bytes() == b"of a run"


def test_a_technique_that_is_named_twice_is_trained_once() -> None:
    rows = toy_rows(2)
    cells = planned({"historical": rows}, scores_for(rows), {0.5: ("random", "random")}, 2)
    assert [(cell.technique, cell.sample) for cell in cells] == [
        ("full", 0),
        ("random", 0),
        ("full", 1),
        ("random", 1),
    ]


def test_the_plan_keeps_as_many_rows_for_every_technique_and_the_first_sample_comes_first() -> None:
    rows = toy_rows(6)
    synthetic = as_table([]).vstack(
        rows.with_columns(id=pl.lit("synthetic-") + pl.col("id"), source=pl.lit("synthetic"))[:6]
    )
    mixed = pl.concat([rows.with_columns(source=pl.lit("historical")), synthetic])
    pools = {"historical": rows, "mixed": mixed}
    cells = planned(pools, scores_for(rows), {0.52: ("random", "vog-class", "mixed")}, 2)
    assert [cell.sample for cell in cells] == [0] * 7 + [1] * 7
    kept = round(0.48 * rows.height)
    for cell in cells:
        if cell.technique != "full":
            assert len(cell.ids) == kept + (6 if cell.pool == "mixed" else 0)
        if cell.pool == "mixed":
            assert sum(one.startswith("synthetic-") for one in cell.ids) == 6
    names = [cell.name for cell in cells]
    assert len(set(names)) == len(names)
    draws = {cell.ids for cell in cells if cell.technique == "random" and cell.pool == "historical"}
    assert len(draws) == 2


def test_training_rows_whose_text_is_in_a_test_set_are_dropped() -> None:
    rows = toy_rows(1)
    test = rows.filter(domain="music").with_columns(text=pl.col("text").str.to_uppercase())
    assert set(without_test_texts(rows, [test])["domain"]) == {"home", "weather"}
