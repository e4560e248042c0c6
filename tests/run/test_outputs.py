"""What a command may write over: never an input, nor what a run, a stack or a study has written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import thresher
from thresher import UserError, progress
from thresher.models.encoder import resolve
from thresher.nlu.page.write import write_page
from thresher.nlu.rows import load_utterances
from thresher.pipeline.own_files import claim, clear, products, refuse_strange, refuse_unlisted
from thresher.rows.find import find
from thresher.run import Run
from thresher.run.outputs import as_place, check_output, is_product
from thresher.settings import checked


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A folder that looks like a run."""
    folder = tmp_path / "R"
    (folder / ".thresher" / "select").mkdir(parents=True)
    (folder / "run.yaml").write_text("format: 3")
    return folder


@pytest.mark.parametrize(
    "name",
    [
        ".thresher/rows/rows.parquet",
        "run.yaml",
        "report.html",
        "kept.jsonl",
        "kept.csv",
        "dropped/part-0.csv",
        "nlu_rows.parquet",
    ],
)
def test_the_files_of_a_run_are_no_place_for_an_output(run: Path, name: str) -> None:
    with pytest.raises(UserError, match="is a place for files of a run"):
        check_output(run / name)


def test_other_files_beside_a_run_may_be_written(run: Path) -> None:
    check_output(run / "suspects.csv")
    check_output(run / "mine" / "kept.csv")
    assert not is_product(run / "mine" / "kept.csv")


@pytest.mark.parametrize(("mark", "what"), [("stack.yaml", "a stack"), ("study.json", "a study")])
def test_nothing_is_written_into_a_stack_or_a_study(tmp_path: Path, mark: str, what: str) -> None:
    (tmp_path / mark).write_text("")
    with pytest.raises(UserError, match=f"is a place for files of {what}"):
        check_output(tmp_path / "models" / "x.jsonl")


def test_an_input_is_known_by_whatever_name_it_is_given(tmp_path: Path, monkeypatch) -> None:
    rows = tmp_path / "train.jsonl"
    rows.write_text("{}")
    (tmp_path / "link.jsonl").symlink_to(rows)
    os.link(rows, tmp_path / "hard.jsonl")
    monkeypatch.chdir(tmp_path)
    for name in ("train.jsonl", "link.jsonl", "hard.jsonl", "../" + tmp_path.name + "/train.jsonl"):
        with pytest.raises(UserError, match="is an input and would be overwritten"):
            check_output(Path(name), [rows])
    check_output(tmp_path / "other.jsonl", [rows])
    with pytest.raises(UserError, match="is a folder"):
        check_output(tmp_path)


def test_a_home_is_expanded_and_an_unset_variable_is_refused(monkeypatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert as_place("~/R") == Path("/home/me/R")
    for empty in ("", "  "):
        with pytest.raises(UserError, match="an empty path was given"):
            as_place(empty)
    with pytest.raises(UserError, match="no such user"):
        as_place("~no-such-user-here/R")


def test_only_what_the_run_lists_as_its_own_is_written_over_and_removed(run: Path) -> None:
    (run / "kept.jsonl").write_text("mine")
    with pytest.raises(UserError, match=r"kept\.jsonl: was not written by this run"):
        claim(run, ["kept.jsonl", "dropped.jsonl"])
    assert products(run) == set()
    claim(run, ["dropped.jsonl"])
    (run / "dropped.jsonl").write_text("ours")
    refuse_unlisted(run, ["dropped.jsonl"])
    clear(run)
    assert (run / "kept.jsonl").read_text() == "mine"
    assert not (run / "dropped.jsonl").exists() and not (run / "run.yaml").exists()


def test_a_listing_cannot_name_files_elsewhere(run: Path) -> None:
    mine = run.parent / "mine.txt"
    mine.write_text("mine")
    (run / ".thresher" / "written.json").write_text('{"files": ["../mine.txt"]}')
    assert products(run) == set()
    clear(run)
    assert mine.read_text() == "mine"


def test_a_run_yaml_of_another_program_is_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("a: 1")
    with pytest.raises(UserError, match=r"run\.yaml that is not a run's"):
        refuse_strange(tmp_path)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("", "an empty path was given"),
        (" ", "an empty path was given"),
        ("~nobody of that name/x", "there is no such user"),
        ("x" * 300, "cannot be read or written"),
        ("a/" * 3000, "cannot be read or written"),
        ("a\0b", "cannot be read or written"),
    ],
)
def test_paths_that_are_none_are_refused_in_the_place_of_rows_folders_and_models(
    given: str, said: str, tmp_path: Path
) -> None:
    for use in (as_place, find, resolve, Run.open, write_page, load_utterances):
        with pytest.raises(UserError, match=said) as refused:
            use(given)
        assert len(str(refused.value)) < 200 and "\n" not in str(refused.value)


def test_an_empty_path_of_test_rows_is_refused() -> None:
    with pytest.raises(UserError, match="--test is an empty path"):
        checked({"data": {"train": "a.jsonl", "test": "", "text": "t", "label": "l"}})


def test_be_quiet_stops_lines_about_steps_and_no_warning(capsys: pytest.CaptureFixture[str]) -> None:
    thresher.be_quiet()
    progress.say("hidden")
    progress.warn("shown")
    thresher.be_quiet(False)
    progress.say("said")
    assert capsys.readouterr().err == "warning: shown\nsaid\n"
