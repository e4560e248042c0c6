"""The page as HTML: data is never markup, nothing is loaded, and missing steps are named."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fake_pictures import add_pictures
from fake_run import HOSTILE, add_comparison, add_selection, class_names, fake_run, finish_score, score_facts
from html_tree import Element, parse
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import thresher as th
from thresher.config import MeasureConfig
from thresher.errors import UserError
from thresher.pipeline.measure import measure_signals
from thresher.report import write
from thresher.report.format import visible
from thresher.report.page import render
from thresher.report.read import read_run
from thresher.run import Run
from thresher.run.integrity import read_json, write_json, write_table
from thresher.run.manifest import Decision

Page = Callable[[str], Path]
SECTIONS = [
    "verdict-title",
    "arms-title",
    "settings-title",
    "audit-title",
    "scores-title",
    "examples-title",
    "similarity-title",
    "groups-title",
]
SELECTION = "vog_class-easy-cutoff-0.45"


def tree(path: Path) -> Element:
    return parse(path.read_text(encoding="utf-8"))


def shown_texts(root: Element) -> list[str]:
    return [element.text for element in root.one("examples").all("div", "text")]


@pytest.mark.parametrize("stage", ["whole", "pair", "many"])
def test_hostile_texts_are_shown_as_text(page: Page, stage: str) -> None:
    texts = shown_texts(tree(page(stage)))
    for hostile in HOSTILE:
        assert any(visible(hostile) in text for text in texts), hostile[:60]


@pytest.mark.parametrize("stage", ["whole", "many", "pair", "selected", "scored", "trained", "untested"])
def test_only_the_page_s_own_scripts_and_no_handlers(page: Page, stage: str) -> None:
    root = tree(page(stage))
    kinds = [script.attributes.get("type") for script in root.all("script")]
    assert kinds == ["application/json", "text/plain", None]
    for element in root.walk():
        assert not [name for name in element.attributes if name.startswith("on")], element.attributes
        assert element.tag not in {"img", "iframe", "object", "embed", "base", "b-b", "i-i", "svg", "form"}
    assert "window.hacked" not in root.all("script")[2].text


@pytest.mark.parametrize("stage", ["whole", "many", "trained"])
def test_nothing_is_loaded(page: Page, stage: str) -> None:
    root = tree(page(stage))
    for element in root.walk():
        for name in ("src", "href", "srcset", "action", "poster", "data", "xlink:href"):
            target = element.attributes.get(name)
            assert target is None or target.startswith("#") or target == "data:,", (element.tag, target)
    style = root.all("style")[0].text
    assert "url(" not in style and "@import" not in style
    (policy,) = [meta.attributes["content"] for meta in root.all("meta") if "http-equiv" in meta.attributes]
    assert policy is not None and policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-eval" not in policy and "'unsafe-inline'" not in policy.partition("style-src")[0]


def test_size_with_15_000_rows_and_150_classes(page: Page) -> None:
    assert page("many").stat().st_size < 4_000_000


def test_size_where_every_shown_text_is_huge(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", n=300, pair=True)
    rows = pl.read_parquet(run.rows_file)
    huge = rows.with_columns(utterance=pl.lit("a tale " * 50_000), reply=pl.lit("عربي " * 60_000))
    write_table(run.rows_file, huge)
    path = write(run)
    assert path.stat().st_size < 10_000_000
    assert "338,000 characters more in the run folder" in tree(path).one("examples").text


@pytest.mark.parametrize("stage", ["whole", "many", "selected", "scored", "trained"])
def test_sections_are_in_order_whatever_is_missing(page: Page, stage: str) -> None:
    root = tree(page(stage))
    titles = [
        one.attributes["id"] for one in root.walk() if one.tag in ("h1", "h2") and "id" in one.attributes
    ]
    assert titles == SECTIONS
    levels = [int(one.tag[1]) for one in root.walk() if re.fullmatch("h[1-6]", one.tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("selected", "thresher compare {run}"),
        ("scored", "thresher select {run}"),
        ("trained", "thresher measure {run}"),
        (
            "untested",
            "thresher compare {run} --test FILE",
        ),
    ],
)
def test_the_command_that_makes_what_is_missing(page: Page, stage: str, command: str) -> None:
    path = page(stage)
    commands = {code.text for code in tree(path).all("pre")}
    assert commands and command.format(run=path.parent) in commands


def test_a_run_that_was_not_trained_to_its_end_is_trained_again_with_its_settings(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", n=60, upto="train", pair=True)
    run.record_file("train").unlink()
    expected = f"thresher train --config {run}/run.yaml --out {run}"
    assert expected in {code.text for code in tree(write(run)).all("pre")}


def test_a_complete_run_shows_no_command(page: Page) -> None:
    assert not tree(page("whole")).all("div", "todo")


def test_the_command_survives_a_folder_with_a_space(tmp_path: Path) -> None:
    path = write(fake_run(tmp_path / "my run", n=60, upto="score"))
    assert f"thresher select '{path.parent}'" in {code.text for code in tree(path).all("pre")}


def test_the_verdict_says_difference_interval_random_and_steps(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    path = run.comparison_file(SELECTION)
    entry = read_json(path)
    for name, mean, low, high in (
        ("kept-full", -0.003, -0.008, 0.002),
        ("random-full", -0.012, -0.019, -0.005),
        ("kept-random", 0.009, 0.001, 0.017),
    ):
        entry["differences"][name]["accuracy"] = {"mean": mean, "low": low, "high": high}
    entry["arms"]["kept"]["accuracy"]["mean"] = 0.849
    write_json(path, entry)
    root = tree(write(run))
    assert root.one("verdict-title").text == (
        "Without 45.0% of the rows (vog_class, easy end), test accuracy is 84.9%, 0.3 points below full data [−0.8, +0.2]; "
        "the same number of random rows lose 1.2 points [−1.9, −0.5]."
    )
    text = root.all("section", "verdict")[0].text
    assert "84 on full data, 46 on the kept or random rows" in text
    assert "from 3 trainings of each kind and 225 test rows" in text
    assert (
        "No loss detected" in text
        and "a loss of more than 0.8 points is unlikely" in text
        and "Better than random" in text
    )


def test_the_first_thing_on_the_page_is_the_decision(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    path = run.comparison_file(SELECTION)
    entry = read_json(path)
    for word, tone in (("drop", "good"), ("do not drop", "bad"), ("probably safe", "open")):
        entry["decision"]["word"] = word
        write_json(path, entry)
        section = tree(write(run)).all("section", "verdict")[0]
        first = next(one for one in section.walk() if "decision" in (one.attributes.get("class") or ""))
        assert first.text == f"{word.capitalize()} Drop these <b>rows</b>: as measured."
        assert first.all("span", tone)[0].text == word.capitalize()
        assert section.text.index("as measured") < section.text.index("Without 45.0% of the rows")
        assert "They allow for looking at 3, 5 seeds" in section.text
    del entry["decision"]
    write_json(path, entry)
    assert "Decision" not in tree(write(run)).all("section", "verdict")[0].text


KEPT_ALL = Decision(
    word="do not drop",
    sentence="Do not drop any rows; <all> are kept.",
    prune=0.0,
    selection="vog_class-easy-cutoff-0",
)


def test_where_a_whole_run_keeps_all_rows_the_page_says_so_above_the_proof_that_failed(
    tmp_path: Path,
) -> None:
    run = fake_run(tmp_path / "run")
    assert add_selection(run, 0.0) == KEPT_ALL.selection
    run = run.with_manifest(decision=KEPT_ALL)
    root = tree(write(run))
    section = root.all("section", "verdict")[0]
    first = next(one for one in section.walk() if "decision" in (one.attributes.get("class") or ""))
    assert first.text == "Do not drop Do not drop any rows; <all> are kept."
    assert "Without 45.0% of the rows" in root.one("verdict-title").text
    assert not section.all("div", "todo")  # there is nothing to compare
    # Another selection by hand is not that of the whole run.
    newer = add_selection(run, 0.3, "el2n")
    section = tree(write(run)).all("section", "verdict")[0]
    assert KEPT_ALL.sentence not in section.text and newer in section.all("div", "todo")[0].text


def test_where_nothing_was_proved_all_rows_are_kept(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", upto="score")
    add_selection(run, 0.0)
    root = tree(write(run.with_manifest(decision=KEPT_ALL)))
    assert root.one("verdict-title").text == "All 900 rows are kept."


def test_the_arms_table_holds_every_figure(page: Page) -> None:
    path = page("whole")
    entry = read_json(Run.open(path.parent).comparison_file(SELECTION))
    text = tree(path).one("arms").all("table")[0].text
    for arm in entry["arms"].values():
        for metric in ("accuracy", "macro_f1"):
            assert f"{100 * arm[metric]['mean']:.2f}% ± {100 * arm[metric]['std']:.2f}" in text
            for value in arm[metric]["values"]:
                assert f"{100 * value:.2f}" in text


def test_the_page_shows_the_last_selection_that_was_compared_and_names_a_newer_one(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run")
    newer = add_selection(run, 0.3, "el2n")
    root = tree(write(run))
    assert "Without 45.0% of the rows (vog_class" in root.one("verdict-title").text
    assert newer in root.all("section", "verdict")[0].all("div", "todo")[0].text
    add_comparison(run, np.random.default_rng(1), newer, class_names(3))
    root = tree(write(run))
    assert "Without 30.0% of the rows (el2n, easy end)" in root.one("verdict-title").text
    assert not root.all("div", "todo")
    assert SELECTION in root.one("arms").text


def test_every_table_has_a_caption_and_every_heading_a_scope(page: Page) -> None:
    root = tree(page("many"))
    for table in root.all("table"):
        assert len(table.all("caption")) == 1
        assert all(heading.attributes.get("scope") for heading in table.all("th"))
    for region in root.all("div", "scroll"):
        assert region.attributes["role"] == "region" and region.attributes["tabindex"] == "0"
        assert root.one(str(region.attributes["aria-labelledby"]))


def test_every_class_has_its_line_and_a_small_group_its_mark(page: Page) -> None:
    table = tree(page("many")).one("group-table")
    lines = {line.all("bdi", "value")[0].text: line for line in table.all("tbody")[0].all("tr")}
    assert set(class_names(150)) <= set(lines)
    assert lines["<i>tiny</i>"].all("span", "badge")[0].text == "small"
    small = [
        name for name, line in lines.items() if "small" in [badge.text for badge in line.all("span", "small")]
    ]
    rows = pl.read_parquet(Run.open(page("many").parent).rows_file)
    sizes = {
        **dict(rows["intent"].value_counts().iter_rows()),
        **dict(rows["domain"].value_counts().iter_rows()),
    }
    assert sorted(small) == sorted(name for name in lines if sizes.get(name, 0) < 20)


def test_charts_of_many_classes_say_that_they_show_the_largest(tmp_path: Path, page: Page) -> None:
    files = read_run(fake_run(tmp_path / "run", n=5000, classes=210))
    assert (n := files.scores["label"].n_unique()) > 200
    assert f"The 200 classes with the most rows of {n} are shown;" in render(files)
    assert "with the most rows are shown" not in page("many").read_text(encoding="utf-8")


def test_the_same_files_give_the_same_bytes(page: Page) -> None:
    run = Run.open(page("whole").parent)
    assert write(run).read_bytes() == render(read_run(run)).encode()


def test_writing_needs_no_other_part_of_the_run_folder(tmp_path: Path, page: Page) -> None:
    whole = page("whole").parent
    files = [
        "run.yaml",
        "rows/audit.json",
        "rows/rows.parquet",
        "train/step.json",
        "measure/step.json",
        "score/step.json",
        "score/scores.parquet",
        "select/step.json",
        f"select/{SELECTION}.json",
        f"select/{SELECTION}.parquet",
        "compare/step.json",
        f"compare/{SELECTION}.json",
    ]
    for name in files:
        place = name if name == "run.yaml" else f".thresher/{name}"
        (tmp_path / "run" / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(whole / place, tmp_path / "run" / place)
    again = write(Run.open(tmp_path / "run")).read_text().replace(str(tmp_path / "run"), str(whole))
    assert again == (whole / "report.html").read_text()


def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r": not a run folder \(no run\.yaml\); make one with"):
        th.report(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        f"compare/{SELECTION}.json",
        f"select/{SELECTION}.json",
        f"select/{SELECTION}.parquet",
        "score/scores.parquet",
        "rows/rows.parquet",
        "rows/audit.json",
        "sweep/result.json",
        "map/map.parquet",
    ],
)
def test_a_damaged_file_is_named_and_the_old_page_stays(tmp_path: Path, name: str) -> None:
    run = add_pictures(fake_run(tmp_path / "run", n=60))
    before = write(run).read_bytes()
    (run.home / name).write_bytes(b"{damaged")
    with pytest.raises(UserError, match=re.escape(str(run.home / name)) + ": damaged"):
        write(run)
    assert (run.folder / "report.html").read_bytes() == before


def test_a_step_with_a_damaged_record_is_not_finished(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", n=60)
    run.record_file("measure").write_bytes(b"{damaged")
    run.record_file("score").write_bytes(b"{damaged")
    files = read_run(run)
    assert sorted(files.records) == ["compare", "select", "train"]
    assert files.scores is None and files.about["scores"] == {}
    assert f"thresher measure {run}" in {code.text for code in tree(write(run)).all("pre")}


def test_results_of_outdated_scores_are_not_shown(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", n=60)
    assert set(read_run(run).compared) == set(read_run(run).selections) == {SELECTION}
    measure_signals.finish(run, MeasureConfig(chunk_rows=64), {"truncated": 1}, 1.0)
    finish_score(run, score_facts())
    files = read_run(run)
    assert (files.selections, files.compared, files.similarity) == ({}, {}, [])
    assert files.scores is not None
    assert f"thresher select {run}" in {code.text for code in tree(write(run)).all("pre")}


def test_a_comparison_on_other_test_rows_is_not_shown(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", n=60).with_manifest(test_hash="00aa11bb22cc33dd44ee55ff")
    files = read_run(run)
    assert set(files.selections) == {SELECTION} and files.compared == {}


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return fake_run(tmp_path_factory.mktemp("twenty") / "run", n=20, upto="score")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(texts=st.lists(st.text(max_size=80), min_size=20, max_size=20), name=st.text(min_size=1, max_size=20))
def test_any_text_is_shown_unchanged(twenty: Run, texts: list[str], name: str) -> None:
    rows = pl.read_parquet(twenty.rows_file).with_columns(utterance=pl.Series(texts), domain=pl.lit(name))
    write_table(twenty.rows_file, rows)
    root = tree(write(twenty))
    shown = shown_texts(root)
    assert len(shown) == 5 * 20
    assert set(shown) == {visible(text) for text in texts}
    assert visible(name) in {element.text for element in root.one("examples").all("bdi")}


def test_the_encoder_s_own_configuration_says_how_many_layers_auto_was(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", n=60, upto="train")
    assert "Layersauto" in tree(write(run)).one("settings").text
    run.model_folder.mkdir(parents=True)
    (run.model_folder / "config.json").write_text('{"num_hidden_layers": 3, "hidden_size": 384}')
    assert "Layers3 of width 384 (asked for: auto)" in tree(write(run)).one("settings").text


def test_a_damaged_file_of_an_earlier_selection_can_be_removed(tmp_path: Path) -> None:
    """The command that selects now would not make it again."""
    run = fake_run(tmp_path / "R", n=40, upto="select")
    earlier = run.require("select").facts["name"]
    now = add_selection(run, 0.2)
    assert now != earlier
    files = {name: run.selection_file(name).with_suffix(".json") for name in (earlier, now)}
    whole = files[now].read_bytes()
    files[now].write_bytes(b"[1]")
    with pytest.raises(UserError, match=r"`thresher select .* --force` makes it again"):
        write(run)
    files[now].write_bytes(whole)
    files[earlier].write_bytes(b"[1]")
    with pytest.raises(UserError, match=r"damaged .*; it is of an earlier selection; remove it"):
        write(run)
    files[earlier].unlink()
    assert write(run).is_file()
