"""The precomputed pictures, against the data they are made from."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from fake_pictures import CHECKPOINTS, FRACTIONS, TRAININGS, add_pictures, read_back, write_sweep
from fake_run import HOSTILE, fake_run
from html_tree import parse
from scipy.stats import spearmanr

from thresher.errors import UserError
from thresher.experiments.sweep import read_sweep
from thresher.report import write
from thresher.report.format import visible
from thresher.report.pictures import PICTURES, pictures
from thresher.report.read import read_run
from thresher.run import Run
from thresher.run.integrity import write_table
from thresher.scores.el2n import el2n

Page = Callable[[str], Path]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return add_pictures(fake_run(tmp_path_factory.mktemp("pictures") / "R"))


@pytest.fixture(scope="module")
def figures(run: Run) -> dict[str, dict[str, Any]]:
    return {one["id"]: one for one in pictures(read_run(run))}


def traces(figure: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in figure["traces"] if "name" in trace}


def test_every_picture_is_there_and_none_where_nothing_was_swept_or_measured(
    figures: dict[str, Any], tmp_path: Path
) -> None:
    assert len(figures) == len(PICTURES)
    assert pictures(read_run(fake_run(tmp_path / "R"))) == []


def test_models_are_compared_on_the_first_selection_and_on_random_rows(
    figures: dict[str, Any],
) -> None:
    found = traces(figures["sweep-models"])
    models = ("this run's model", "6 layers", "frozen")
    assert list(found) == [f"{model}: {way}" for model in models for way in ("random rows", "vog, easy")]
    own = traces(figures["sweep"])["vog, easy"]
    assert all(found[f"{model}: vog, easy"]["y"] == own["y"] for model in models)
    assert len({found[f"{model}: vog, easy"]["line"]["color"] for model in models}) == 3
    assert found["frozen: random rows"]["line"]["dash"] == "dot"


def test_a_curve_starts_at_full_data_and_passes_through_the_means(run: Run, figures: dict[str, Any]) -> None:
    curve = traces(figures["sweep"])["vog, easy"]
    means = [
        100 * line["accuracy"]["mean"]
        for line in read_sweep(run)["table"]
        if line["score"] == "vog" and line["end"] == "easy"
    ]
    assert curve["x"] == [0, *(100 * one for one in FRACTIONS)]
    assert curve["y"] == pytest.approx([85, *means])
    assert curve["line"]["dash"] == "solid" and curve["visible"] is True
    assert "3 seeds" in curve["text"][1] and "450 rows left" in curve["text"][2]
    assert "to full −2.50 [−3.50, −1.50] points" in curve["text"][2]
    hard = traces(figures["sweep"])["vog, hard"]
    assert (hard["line"]["dash"], hard["line"]["color"]) == ("dash", curve["line"]["color"])
    assert hard["visible"] == "legendonly"


def test_the_band_is_one_standard_deviation_of_random_rows(figures: dict[str, Any]) -> None:
    low, high = (
        [
            trace["y"]
            for trace in figures["sweep"]["traces"]
            if trace.get("fill") == fill and "name" not in trace
        ]
        for fill in ("tonexty", None)
    )
    random = traces(figures["sweep"])["random rows"]["y"]
    assert np.add(low[0], high[0]) / 2 == pytest.approx(random)
    assert np.subtract(high[0], low[0])[1:] == pytest.approx([0.8, 0.8])


def test_a_score_name_is_text_not_markup(figures: dict[str, Any]) -> None:
    assert "&lt;b&gt;aum&lt;/b&gt;, easy" in traces(figures["sweep"])


def test_groups_that_lose_most_come_first_and_untested_ones_are_left_out(figures: dict[str, Any]) -> None:
    figure = figures["sweep-groups"]
    by_name = dict(zip(figure["menu"], figure["traces"], strict=True))
    hard = by_name["vog, hard by label"]
    assert len(hard["y"]) == 2 and hard["x"] == ["20", "50"]
    assert np.allclose(hard["z"], [[-6, -15]] * 2)
    assert [trace["visible"] for trace in figure["traces"]].count(True) == 1


def test_a_sweep_of_completions_shows_nats_and_a_rise_is_bad(tmp_path: Path) -> None:
    run = add_pictures(fake_run(tmp_path / "R", n=60))
    entry = read_sweep(run)
    entry["metric"] = "loss"
    for one in (entry["full"], *entry["table"]):
        one["loss"] = one.pop("accuracy")
        one["groups"]["label"]["loss"] = one["groups"]["label"].pop("accuracy")
    hard = [line for line in entry["table"] if line["score"] == "vog" and line["end"] == "hard"]
    for line in hard:
        line["groups"]["label"]["loss"][:2] = [0.9, 1.4]
    del entry["models"]
    write_sweep(run, entry)
    found = {one["id"]: one for one in pictures(read_run(run))}
    figure, groups = found["sweep"], found["sweep-groups"]
    assert (
        figure["title"].startswith("Held-out loss")
        and figure["layout"]["yaxis"]["title"]["text"] == "nats per token"
    )
    curve = traces(figure)["vog, easy"]
    assert curve["y"][0] == 0.85 and "loss 0.825 ± 0.004" in curve["text"][2]
    assert "to full −0.025 nats [−0.035, −0.015]" in curve["text"][2]
    changes = dict(zip(groups["menu"], groups["traces"], strict=True))["vog, hard by label"]
    assert changes["z"][0] == pytest.approx([0.6, 0.6]) and changes["z"][1] == pytest.approx([0.1, 0.1])
    assert changes["colorscale"][2] == (1, "--bad") and "nats" in changes["hovertemplate"]


def test_groups_with_a_common_name_prefix_are_separate_lines(tmp_path: Path) -> None:
    run = add_pictures(fake_run(tmp_path / "R", n=60))
    entry = read_sweep(run)
    names = ["book a flight to the city of departure A", "book a flight to the city of departure B", "7"]
    entry["groups"]["label"] = {"value": names, "n_train": [20] * 3, "n_test": [9] * 3}
    for one in (entry["full"], *entry["table"]):
        one["groups"]["label"]["accuracy"][2] = 0.5
    write_sweep(run, entry)
    figure = {one["id"]: one for one in pictures(read_run(run))}["sweep-groups"]
    assert set(figure["traces"][0]["y"]) == {
        "book a flight…of departure A",
        "book a flight…of departure B",
        "7",
    }
    assert {line[0].split(":")[0] for line in figure["traces"][0]["text"]} == set(names)
    assert figure["layout"]["yaxis"]["type"] == "category", "a name may be a number"


def test_the_data_map_has_each_row_where_its_scores_are(run: Run, figures: dict[str, Any]) -> None:
    [trace] = figures["data-map"]["traces"]
    scores = pl.read_parquet(run.scores_file)
    assert trace["x"] == pytest.approx(scores["variability"].to_list(), abs=1e-4)
    assert trace["y"] == pytest.approx(scores["confidence"].to_list(), abs=1e-4)
    assert figures["data-map"]["details"][0] == f"{scores['label'][0]}: {HOSTILE[0]} (row-0)"
    assert visible(HOSTILE[8]) in figures["data-map"]["details"][8]


def test_the_map_without_the_hard_end_has_the_easy_rows_of_that_score(
    run: Run, figures: dict[str, Any]
) -> None:
    figure = figures["meaning-map"]
    by_name = dict(zip(figure["menu"], figure["traces"], strict=True))
    assert by_name["all rows"]["visible"] and len(by_name["all rows"]["places"]) == 900
    scores, plane = pl.read_parquet(run.scores_file), pl.read_parquet(run.map_file)
    easiest = scores.sort("pvi", descending=True).head(630)["id"]  # low is hard
    trace = by_name["without the hardest 30% by pvi"]
    assert {scores["id"][at] for at in trace["places"]} == set(easiest)
    assert figure["points"]["x"] == pytest.approx(plane["x"].to_list(), abs=0.01)
    assert HOSTILE[0] in figure["details"][0]


def test_el2n_over_the_training_is_the_formula_row_by_row(run: Run, figures: dict[str, Any]) -> None:
    trainings = []
    for training in TRAININGS:
        parts = [pl.read_parquet(one) for one in sorted(run.signals(training).glob("part-*.parquet"))]
        values = []
        for label, logits in pl.concat(parts).select("label", "logits").iter_rows():
            row = []
            for one in np.array(logits, np.float64):
                probability = np.exp(one) / np.exp(one).sum()
                probability[label] -= 1
                row.append(float(np.sqrt((probability**2).sum())))
            values.append(row)
        trainings.append(np.array(values))
    found = traces(figures["checkpoints"])
    assert found["median of the rows"]["y"] == pytest.approx(np.median(trainings[0], 0), abs=1e-3)
    agreement = [spearmanr(trainings[0][:, c], trainings[1][:, c]).statistic for c in range(CHECKPOINTS)]
    assert found["rank correlation of two trainings"]["y"] == pytest.approx(agreement, abs=1e-3)


def test_checkpoints_of_a_training_that_diverged_are_a_gap(tmp_path: Path) -> None:
    run = add_pictures(fake_run(tmp_path / "R", n=60))
    for part in run.signals(TRAININGS[0]).glob("part-*.parquet"):
        table = pl.read_parquet(part)
        logits = table["logits"].to_numpy().copy()
        logits[:, 2:] = np.nan
        changed = pl.Series("logits", logits, dtype=table.schema["logits"])
        write_table(part, table.with_columns(changed))
    write(run)
    found = traces({one["id"]: one for one in pictures(read_run(run))}["checkpoints"])
    for name in ("median of the rows", "rank correlation of two trainings"):
        assert [one is None for one in found[name]["y"]] == [False, False, True, True]


@pytest.mark.parametrize("name", ["part-00001.parquet", "checkpoints.parquet"])
@pytest.mark.parametrize("how", ["cut", "another table", "folder"])
def test_damaged_signals_are_named_with_what_measures_them_again(name: str, how: str, tmp_path: Path) -> None:
    run = add_pictures(fake_run(tmp_path / "R", n=60))
    file = run.signals(TRAININGS[0]) / name
    whole = file.read_bytes()
    file.unlink()
    if how == "cut":
        file.write_bytes(whole[:-20])
    elif how == "folder":
        file.mkdir()
    else:
        pl.DataFrame({"a": [1]}).write_parquet(file)
    if (how, name) == ("folder", "checkpoints.parquet"):
        assert "checkpoints" in {one["id"] for one in pictures(read_run(run))}  # of the other training
        return
    with pytest.raises(UserError, match=rf"{name}: damaged .*; run `thresher measure "):
        pictures(read_run(run))


def test_a_recorded_token_classifier_has_one_number_per_record_and_no_logits(tmp_path: Path) -> None:
    other = add_pictures(fake_run(tmp_path / "R", n=60))
    for part in [part for training in TRAININGS for part in other.signals(training).glob("part-*.parquet")]:
        table = pl.read_parquet(part)
        norms = pl.Series([[0.1, 0.4, 0.3, 0.2]] * table.height, dtype=pl.Array(pl.Float32, CHECKPOINTS))
        write_table(part, table.drop("logits").with_columns(error_norm=norms))
    found = {one["id"]: one for one in pictures(read_run(other))}["checkpoints"]
    assert traces(found)["median of the rows"]["y"] == pytest.approx([0.1, 0.4, 0.3, 0.2], abs=1e-4)


def test_the_agreement_of_trainings_is_that_of_their_scores(run: Run, figures: dict[str, Any]) -> None:
    trained = [read_back(run.signals(training)) for training in TRAININGS]
    expected = spearmanr(*(el2n(signals, checkpoints) for signals, checkpoints in trained)).statistic
    [trace] = figures["stability"]["traces"]
    at = dict(zip(trace["y"], trace["x"], strict=True))
    assert at["el2n"] == pytest.approx(expected, abs=1e-4)
    assert trace["x"] == sorted(trace["x"], reverse=True)
    assert trace["error_x"]["array"] == trace["error_x"]["arrayminus"] == [0] * len(at), (
        "two runs are one pair"
    )
    assert figures["stability"]["lead"].endswith(
        "Two trainings are a single pair, so these numbers are rough."
    )
    beside = {note["y"]: note["text"] for note in figures["stability"]["layout"]["annotations"]}
    assert beside["el2n"] == str(math.ceil(0.9 * (1 - expected) / (expected * (1 - 0.9))))


def test_the_agreement_is_also_a_table_with_the_scores_left_out(run: Run, figures: dict[str, Any]) -> None:
    root = parse(write(run).read_text(encoding="utf-8"))
    (table,) = root.one("pictures").all("table")
    (body,) = table.all("tbody")
    rows = [[cell.text for cell in row.walk() if cell.tag in ("th", "td")] for row in body.all("tr")]
    assert rows == figures["stability"]["table"]["rows"]
    assert "vog" not in [row[0] for row in rows]
    notes = [one.text for one in root.one("pictures").all("p", "note")]
    assert "Without a line: vog (measured in one run only)." in notes


def test_15_000_rows_of_150_classes_stay_under_10_mb(tmp_path: Path) -> None:
    run = add_pictures(fake_run(tmp_path / "R", n=15_000, classes=150))
    assert write(run).stat().st_size < 10_000_000
