"""The questions on the command line: frozen runs, sweep, how-much, noise; each resumes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from command_line import (
    Call,
    cells_of,
    commands,
    contents,
    facts_of,
    frozen_run,
    sweep_of,
    training,
    write_jsonl,
)

from thresher.rows import normalised
from thresher.run import Run
from thresher.run.layout import Layout
from thresher.training.feature_files import ROWS, VECTORS


@pytest.fixture(scope="module")
def made(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scored run with a frozen encoder; it is copied, not written to."""
    return frozen_run(material, tmp_path_factory.mktemp("frozen"), 160, 60, epochs=6)


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "RUN"))


def test_the_whole_job_works_on_a_frozen_encoder_and_is_not_done_twice(
    call: Call, material: Path, tmp_path: Path
) -> None:
    asked = [*training(material, tmp_path / "RUN"), "--freeze", "--test", material / "test.jsonl"]
    first = call("run", *asked, "--seeds", 2, "--prune", 0.4)
    assert first.code == 0, first.err
    assert "frozen" in first.err
    about = facts_of(tmp_path / "RUN", "score")
    assert {"vog", "el2n", "forgetting", "pvi", "tracin"} <= set(about["scores"])
    folder = tmp_path / "RUN" / ".thresher/features/rows"
    features = pl.read_parquet(folder / ROWS)
    assert np.load(folder / VECTORS).shape == (features.height, 16)
    assert (
        features["id"].to_list()
        == pl.read_parquet(tmp_path / "RUN" / ".thresher/rows/rows.parquet")["id"].to_list()
    )
    before = contents(tmp_path / "RUN")
    again = call("run", *asked, "--seeds", 2, "--prune", 0.4)
    assert again.code == 0
    assert contents(tmp_path / "RUN") == before


def test_several_trainings_report_their_agreement_on_scores(
    call: Call, material: Path, tmp_path: Path, made: Path
) -> None:
    run = tmp_path / "RUN"
    assert call("train", *training(material, run), "--freeze", "--runs", 3).code == 0
    assert call("measure", run, "--workers", 1).code == 0
    shown = call("score", run, "--json")
    found = shown.json["stability"]
    assert found["scores"]["el2n"]["runs"] == 3
    assert found["left_out"]["vog"] == "measured in one run only"
    assert found["left_out"]["prototypicality"] == "does not depend on a training"
    assert set(found["scores"]) | set(found["left_out"]) == set(shown.json["scores"])
    assert call("report", run).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert 'id="picture-stability"' in page and 'id="table-stability"' in page
    assert "stability" not in facts_of(made, "score")


def test_a_fine_tuned_run_keeps_features_where_asked(call: Call, material: Path, tmp_path: Path) -> None:
    pairs = [{**row, "answer": row["utterance"][::-1]} for row in commands(30, seed=5)]
    write_jsonl(tmp_path / "pairs.jsonl", pairs)
    columns = ["--text", "utterance,answer", "--label", "intent", "--model", material / "tiny"]
    quick = ["--epochs", 1, "--batch-size", 8, "--checkpoints", 2, "--threads", 1, "--workers", 1]
    assert call("train", tmp_path / "pairs.jsonl", *columns, *quick, "--out", tmp_path / "RUN").code == 0
    assert call("measure", tmp_path / "RUN", "--workers", 1).code == 0
    assert not (tmp_path / "RUN" / ".thresher/features/rows").exists()
    assert call("measure", tmp_path / "RUN", "--features", "--workers", 1).code == 0
    found = np.load(tmp_path / "RUN" / ".thresher/features/rows" / VECTORS)
    assert found.shape == (30, 64)
    p, h = found[:, :16], found[:, 16:32]
    np.testing.assert_array_equal(found[:, 32:], np.concatenate([np.abs(p - h), p * h], axis=1))


def test_sweep_compares_every_arm_with_random_rows_and_full_data(call: Call, run: Path) -> None:
    asked = ["sweep", run, "--scores", "el2n,tracin", "--fractions", "0.3,0.6", "--seeds", 2, "--workers", 1]
    shown = call(*asked)
    assert shown.code == 0, shown.err
    for part in ("random", "el2n easy cutoff", "tracin hard cutoff", "30%", "60%"):
        assert part in shown.out
    entry = sweep_of(run)
    table = entry["table"]
    assert {(line["score"], line["end"], line["fraction"]) for line in table} == {
        *((None, "random", fraction) for fraction in (0.3, 0.6)),
        *((s, e, f) for s in ("el2n", "tracin") for e in ("easy", "hard") for f in (0.3, 0.6)),
    }
    test = pl.read_parquet(run / ".thresher/rows/test.parquet")
    cells = cells_of(run)
    for line in table:
        assert line["n"] == round(160 * (1 - line["fraction"]))
        assert line["to_full"]["low"] <= line["to_full"]["mean"] <= line["to_full"]["high"]
        mean = line["accuracy"]["mean"] - entry["full"]["accuracy"]["mean"]
        assert line["to_full"]["mean"] == pytest.approx(mean, abs=2e-5)
        for name, column in (("label", "intent"), ("room", "room")):
            groups, counts = line["groups"][name], entry["groups"][name]
            assert counts["value"] == sorted(set(test[column]))
            of_all = np.average(groups["accuracy"], weights=counts["n_test"])
            assert of_all == pytest.approx(line["accuracy"]["mean"], abs=1e-3)
            kept = np.average(groups["kept"], weights=counts["n_train"])
            assert kept == pytest.approx(line["n"] / 160, abs=1e-3)
    assert len(cells) == entry["trainings"]
    # Another score costs its own trainings only, and the lines that are there stay.
    more = call(
        "sweep", run, "--scores", "vog", "--ends", "easy", "--fractions", "0.6", "--seeds", 2, "--workers", 1
    )
    assert more.code == 0
    assert len(sweep_of(run)["table"]) == len(table) + 1
    assert len(cells_of(run)) == len(cells) + 2
    assert "easy, random, hard" in call("sweep", run, "--ends", "up").err
    assert "vogg" in call("sweep", run, "--scores", "vogg").err
    assert "known engines: local, ray" in call("sweep", run, "--engine", "spark", "--seeds", 3).err


def test_a_finished_cell_is_never_repeated_and_a_lost_one_gives_the_same_result(
    call: Call, run: Path
) -> None:
    asked = [
        "sweep",
        run,
        "--scores",
        "el2n",
        "--ends",
        "easy",
        "--fractions",
        "0.5",
        "--seeds",
        2,
        "--workers",
        1,
    ]
    assert call(*asked).code == 0
    before = contents(run / ".thresher/cells")
    written = {path.name: path.stat().st_mtime_ns for path in (run / ".thresher/cells").iterdir()}
    arms = {f"{key}.parquet": cell["arm"] for key, cell in cells_of(run).items()}
    lost = next(name for name, arm in arms.items() if arm == "el2n easy cutoff")
    # As a kill leaves it: a cell missing, the others only in their files.
    (run / ".thresher/cells" / lost).unlink()
    (run / ".thresher/sweep/result.json").unlink()
    (run / ".thresher/sweep/step.json").unlink()
    assert call(*asked).code == 0
    for name in before:
        assert (run / ".thresher/cells" / name).stat().st_mtime_ns == written[name] or name == lost
    after = pl.read_parquet(run / ".thresher/cells" / lost)
    (run / ".thresher/cells" / lost).write_bytes(before[lost])
    assert after.equals(pl.read_parquet(run / ".thresher/cells" / lost))
    assert len(cells_of(run)) == len(before)


def test_same_steps_takes_as_many_steps_as_full_data(call: Call, run: Path) -> None:
    quick = ["--scores", "el2n", "--ends", "easy", "--fractions", "0.5", "--seeds", 2, "--workers", 1]
    assert call("sweep", run, *quick).code == 0
    assert call("sweep", run, *quick, "--same-steps").code == 0
    entry = sweep_of(run)
    steps = {(line["score"], line["same_steps"]): line["steps"] for line in entry["table"]}
    assert steps == {(None, False): 60, ("el2n", False): 60, (None, True): 120, ("el2n", True): 120}
    assert entry["full"]["steps"] == 120


def test_other_models_train_on_the_rows_selected_by_the_runs_scores(
    call: Call, run: Path, tmp_path: Path
) -> None:
    from thresher.api import load, measure, report, score, sweep, train

    quick: dict[str, Any] = {"ends": ["easy"], "fractions": [0.5], "seeds": 2, "workers": 1}
    shown = call(
        "sweep", run, "--scores", "el2n", "--ends", "easy", "--fractions", "0.5", "--seeds", 2,
        "--models", "1", "--workers", 1,
    )  # fmt: skip
    assert shown.code == 0, shown.err
    assert "the same rows, model: 1" in shown.out
    other = sweep_of(run)["models"]["1"]
    assert (run / ".thresher/models" / "1" / ".thresher/cells").is_dir()
    # The same model in a run folder of its own comes to the same accuracies, on all rows and on random ones.
    rows = load(
        tmp_path / "RUN" / ".thresher/rows/rows.parquet",
        text="utterance",
        label="intent",
        id="id",
        groups=["room"],
    )
    config = Run.open(run).config
    recipe = {
        name: getattr(config.train, name) for name in ("epochs", "batch_size", "checkpoints", "head_lr")
    }
    test = load(
        run / ".thresher/rows/test.parquet", text="utterance", label="intent", id="id", groups=["room"]
    )
    alone = train(rows, out=tmp_path / "ALONE", test=test, model=config.model.name, layers=1, **recipe)
    measure(alone, workers=1)
    score(alone)
    found = sweep(alone, scores=["el2n"], **quick)
    assert other["full"]["accuracy"] == found["full"]["accuracy"]
    for mine, theirs in zip(other["table"], found["table"], strict=True):
        assert mine["n"] == theirs["n"] == 80
        if mine["strategy"] == "random":
            assert mine["accuracy"] == theirs["accuracy"]
    # A sweep of the run alone keeps what other models have shown.
    again = sweep(run, scores=["tracin"], models=[], **quick)
    assert again["models"]["1"] == other
    report(run)
    assert 'id="picture-sweep-models"' in (run / "report.html").read_text(encoding="utf-8")
    for wrong, answer in (("small", "small"), ("03", "03"), ("9", "layers"), ("frozen", "the run itself")):
        refused = call("sweep", run, "--models", wrong)
        assert refused.code == 2 and answer in refused.err, refused.err


def test_how_much_decides_on_every_training_row_and_uses_the_test_rows_once(call: Call, run: Path) -> None:
    asked = [
        "how-much",
        run,
        "--by",
        "el2n",
        "--margin",
        30,
        "--step",
        0.25,
        "--first-seeds",
        2,
        "--most-seeds",
        3,
        "--same-steps",
        "--validation",
        0.34,  # three folds
        "--workers",
        1,
    ]
    shown = call(*asked)
    assert shown.code == 0, shown.err
    entry = facts_of(run, "how_much")
    assert entry["sentence"] in shown.out
    assert entry["same_steps"] and "of the same steps" in entry["sentence"]
    folds = [Layout(run / ".thresher/how_much" / f"fold-{fold}-of-3") for fold in range(3)]
    all_rows, tested = pl.read_parquet(Layout(run).rows_file), []
    for fold in folds:
        outside, inside = pl.read_parquet(fold.rows_file), pl.read_parquet(fold.test_file)
        assert sorted([*outside["id"], *inside["id"]]) == sorted(all_rows["id"])
        texts = [set(map(normalised, part["utterance"])) for part in (outside, inside)]
        assert not texts[0] & texts[1]
        tested += inside["id"].to_list()
    assert sorted(tested) == sorted(all_rows["id"]), "every row decides once"
    assert entry["n_validation"] == len(all_rows)
    if entry["fraction"]:
        assert entry["confirmed"]["n_test"] == 60
        assert entry["confirmed"]["fraction"] == entry["fraction"]
    cells = sum(len(list((fold.home / "cells").iterdir())) for fold in folds)
    assert entry["trainings"] == cells
    before = contents(run)
    assert call(*asked).code == 0
    assert contents(run) == before


def test_prune_auto_takes_the_share_that_was_found(run: Path) -> None:
    settings: dict[str, Any] = {
        "margin": 99,
        "validation": 0.5,
        "step": 0.25,
        "first_seeds": 2,
        "most_seeds": 2,
    }
    from thresher.api import how_much, select

    found = how_much(run, by="el2n", **settings)
    assert found["fraction"] == 0.75  # almost anything is allowed
    chosen = select(run, prune="auto", by="el2n")
    assert int(chosen["kept"].sum()) == 40


def test_prune_auto_is_refused_if_no_share_is_shown(call: Call, run: Path) -> None:
    hard = ["--by", "el2n", "--end", "hard"]
    once = ["--step", 0.95, "--margin", 0.01, "--validation", 0.5, "--first-seeds", 2, "--most-seeds", 2]
    assert call("how-much", run, *hard, *once).code == 0
    found = call("select", run, "--prune", "auto", *hard)
    assert found.code == 2
    assert "--margin" in found.err
    assert "No share of the rows" in found.err.splitlines()[-1]
    assert not list((run / ".thresher").glob("select/*"))


def test_noise_is_planted_found_and_counted(call: Call, run: Path) -> None:
    asked = ["noise", run, "--kinds", "isotropic,group", "--levels", 0.2, "--fractions", 0.5]
    shown = call(*asked, "--hard-fractions", "0.1,0.5", "--seeds", 2, "--workers", 1)
    assert shown.code == 0, shown.err
    levels = facts_of(run, "noise")["levels"]
    assert [(one["kind"], one["level"]) for one in levels] == [("isotropic", 0.2), ("group", 0.2)]
    rows = pl.read_parquet(run / ".thresher/rows/rows.parquet")
    folders = sorted(path for path in (run / ".thresher/noise").iterdir() if path.is_dir())
    assert len(folders) == 2
    for one in levels:
        folder = next(path for path in folders if path.name.startswith(one["kind"]))
        noisy = pl.read_parquet(folder / ".thresher/rows/rows.parquet")
        assert noisy["id"].equals(rows["id"])
        wrong = (noisy["intent"] != rows["intent"]).to_numpy()
        assert one["n_changed"] == wrong.sum()
        tested = (pl.read_parquet(Layout(where).test_file) for where in (folder, run))
        assert next(tested).equals(next(tested))
        for name, found in one["found"].items():
            assert found["precision"] == pytest.approx(found["recall"]), name
            assert 0 <= found["similarity"] <= 1
        hard = noisy["id"].is_in(
            pl.read_parquet(folder / ".thresher/score/scores.parquet")
            .top_k(int(wrong.sum()), by="el2n")["id"]
            .to_list()
        )
        assert one["found"]["el2n"]["recall"] == pytest.approx((hard.to_numpy() & wrong).sum() / wrong.sum())
        lines = [(line["score"], line["end"], line["fraction"]) for line in one["table"]]
        tried = set(lines)
        assert len(lines) == len(tried)
        assert {
            ("vog", "easy", 0.5),
            (None, "random", 0.5),
            ("tracin", "hard", 0.1),
            ("pvi", "hard", 0.1),
        } <= tried
        below = one["negative_pvi"]
        assert below is None or 0 <= below["share"] <= 1
    before = contents(run / ".thresher/noise")
    (run / ".thresher/noise/step.json").unlink()
    assert call(*asked, "--hard-fractions", "0.1,0.5", "--seeds", 2, "--workers", 1).code == 0
    after = contents(run / ".thresher/noise")
    assert after.keys() == before.keys()
    assert {name for name in before if after[name] != before[name]} <= {"step.json"}


def test_studies_need_test_rows_and_a_scored_run(call: Call, run: Path) -> None:
    (run / ".thresher/rows/test.parquet").unlink()
    for command in ("sweep", "noise"):
        found = call(command, run)
        assert found.code == 2
        assert "--test" in found.err
    (run / ".thresher/score/step.json").unlink()
    for command in ("sweep", "noise", "how-much"):
        assert "thresher score" in call(command, run).err


def test_the_cache_is_in_the_configured_folder(run: Path) -> None:
    assert list(Path(os.environ["THRESHER_CACHE"]).rglob("*.safetensors"))
