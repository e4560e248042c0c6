"""A whole job without test rows: a part of the rows is held out to prove on, trained on by none, and kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import yaml
from command_line import Answer, Call, comparisons, contents, training

from thresher.api import load
from thresher.cli import main
from thresher.config import RunConfig
from thresher.pipeline.hold_out import held_out_lines, without_held_out
from thresher.pipeline.start import data_config, held_out_of
from thresher.rows import Rows, read_rows, write_back

SELECTION = "vog_class-easy-cutoff-0.4"


def job(material: Path, out: Path) -> list[object]:
    return ["run", *training(material, out), "--seeds", 2, "--preset", "paper", "--prune", 0.4]


@pytest.fixture(scope="module")
def first(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on 60 rows, read only."""
    out = tmp_path_factory.mktemp("held-out") / "R"
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in job(material, out)])
    assert not left.value.code
    return out


@pytest.fixture
def finished(first: Path, tmp_path: Path) -> Path:
    return shutil.copytree(first, tmp_path / "R")


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def held_out_input(run: Path, material: Path) -> set[str]:
    """The lines of the input whose texts are test rows of the run."""
    tested = set(read_rows(run / ".thresher/rows/test.parquet").table["utterance"])
    return {line for line in lines(material / "train.jsonl") if json.loads(line)["utterance"] in tested}


def one_line(answer: Answer, *says: str) -> None:
    assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
    assert all(part in answer.err for part in says), answer.err


def test_a_fifth_is_held_out_and_run_yaml_says_so(first: Path, material: Path) -> None:
    manifest = yaml.safe_load((first / "run.yaml").read_text())
    assert manifest["held_out"] == {"rows": 12, "share": 0.2, "too_small": []}
    assert (manifest["n_rows"], manifest["n_test"], manifest["config"]["data"]["test"]) == (48, 12, None)
    assert manifest["config"]["compare"]["hold_out"] == "auto"
    given = [json.loads(line)["utterance"] for line in lines(material / "train.jsonl")]
    trained, tested = (
        list(read_rows(first / f".thresher/rows/{name}.parquet").table["utterance"])
        for name in ("rows", "test")
    )
    assert not set(trained) & set(tested)
    assert sorted(trained + tested) == sorted(given)


def test_no_arm_trains_on_them_and_all_of_them_are_in_the_kept_file(first: Path, material: Path) -> None:
    arms = comparisons(first)[SELECTION]["arms"]
    assert {arm: found["n_train"] for arm, found in arms.items()} == {"full": 48, "kept": 29, "random": 29}
    kept, dropped = lines(first / "kept.jsonl"), lines(first / "dropped.jsonl")
    assert (len(kept), len(dropped)) == (29 + 12, 19)
    assert held_out_input(first, material) <= set(kept)
    order = {line: place for place, line in enumerate(lines(material / "train.jsonl"))}
    assert sorted(kept, key=order.__getitem__) == kept and set(kept) | set(dropped) == set(order)


def test_the_same_command_finds_everything_done_whatever_the_margin(
    finished: Path, material: Path, call: Call
) -> None:
    before = contents(finished)
    answer = call(*job(material, finished))
    assert answer.err.count("already done") == 6, answer.err
    told = answer.out.splitlines()
    assert f"kept rows (41 of 60, with the 12 held out): {finished / 'kept.jsonl'}" in told
    assert f"dropped rows (19): {finished / 'dropped.jsonl'}" in told
    assert "2 seeds on 12 held-out rows;" in answer.out
    assert contents(finished) == before
    # The report shows the settings; the decision depends on the margin too, and trains nothing new.
    for more, done in ((("--hold-out", 0.2), 5), (("--margin", 20), 4)):
        answer = call(*job(material, finished), *more)
        assert (answer.err.count("already done"), answer.err.splitlines()[-1]) == (done, "report: written")
    result = call(*job(material, finished), "--json").json
    assert (result["n_rows"], result["n_kept"], result["n_held_out"]) == (60, 41, 12)


def test_another_selection_keeps_them_too(finished: Path, material: Path, call: Call) -> None:
    answer = call("select", finished, "--prune", 0.75)
    assert answer.code == 0, answer.err
    assert "select: 12 of 48 rows kept by" in answer.err and "has the 12 held-out rows too" in answer.err
    assert answer.out.startswith("kept rows (24 of 60, with the 12 held out): ")
    assert held_out_input(finished, material) <= set(lines(finished / "kept.jsonl"))
    assert call("select", finished, "--prune", 0.75, "--json").json["n_held_out"] == 12


def test_the_report_says_what_it_was_proved_on(first: Path) -> None:
    page = (first / "report.html").read_text()
    assert "12 rows held out of the training rows: no model trains on them, and all of them are kept" in page
    assert "from 2 trainings of each kind and 12 held-out rows" in page
    assert "The 12 held-out rows were taken from the input before anything was trained" in page


def test_another_split_of_the_same_folder_is_refused(finished: Path, material: Path, call: Call) -> None:
    before = contents(finished)
    asked = job(material, finished)
    one_line(call(*asked, "--hold-out", 0), "held-out share 0.2, now none", "--out", "--force")
    one_line(call(*asked, "--hold-out", 0.1), "held-out share 0.2, now 0.1")
    one_line(call(*asked, "--test", material / "test.jsonl"), f"compare {finished} --test FILE")
    one_line(call("train", *training(material, finished)), "held-out share 0.2, now none")
    one_line(call(*asked, "--hold-out", 0.6), "--hold-out must lie between 0 and 0.5 (got '0.6')")
    one_line(call(*asked, "--seed", 5), "other settings")
    assert contents(finished) == before


def test_other_test_rows_can_be_given_later_and_the_held_out_ones_stay_kept(
    finished: Path, material: Path, call: Call
) -> None:
    proved = call("compare", finished, "--test", material / "test.jsonl")
    assert proved.code == 0, proved.err
    assert "compare: on other test rows than the 12 held out, which stay untrained and kept" in proved.err
    assert "2 seeds on 24 test rows" in proved.out
    kept = lines(finished / "kept.jsonl")
    assert call("select", finished, "--force").code == 0
    assert lines(finished / "kept.jsonl") == kept
    back = call(*job(material, finished))
    assert "2 seeds on 12 held-out rows" in back.out, back.err


def rows_of(per_class: dict[str, int]) -> Rows:
    frame = pl.DataFrame(
        [{"text": f"{name} {n}", "label": name} for name, count in per_class.items() for n in range(count)]
    )
    return load(frame, text="text", label="label")


def split(rows: Rows, folder: Path, **compare: object) -> tuple[Rows, Rows | None]:
    config = RunConfig.model_validate({"data": data_config(rows, None), **compare})
    return without_held_out(folder, rows, config)


@pytest.mark.parametrize(("margin", "n", "held_out"), [(0.5, 200, 40), (1, 30_000, 1153), (1.5, 30_000, 513)])
def test_as_many_as_the_margin_takes_and_at_most_a_fifth(
    margin: float, n: int, held_out: int, tmp_path: Path
) -> None:
    """n = 0.03 (196 / margin)^2."""
    rows = rows_of({"a": n // 2, "b": n // 2})
    train, test = split(rows, tmp_path / "R", how_much={"margin": margin})
    assert test is not None and abs(len(test) - held_out) <= 1
    assert len(train) + len(test) == n


def test_what_is_held_out_and_what_it_can_show_is_said_before_anything_is_trained(
    tmp_path: Path,
) -> None:
    train, _ = split(rows_of({"a": 500, "b": 496, "rare": 4}), tmp_path / "R")
    first, second, third = held_out_lines(train, margin=0.5)
    assert first.startswith("run: 199 of 1,000 rows are held out for the proof: no model trains on them")
    assert "about 2.4 points" in second and "for 0.5 points give --test with 4,610 rows" in second
    assert third == "run: 1 class with fewer than 5 different texts stay in training: rare"


def test_where_no_class_is_large_enough_nothing_is_held_out(tmp_path: Path) -> None:
    rows = rows_of(dict.fromkeys("abcdefgh", 4))
    train, test = split(rows, tmp_path / "R")
    assert test is None and train.table.equals(rows.table) and held_out_of(train) is None
    (line,) = held_out_lines(train, margin=0.5)
    assert line.startswith("run: no row is held out to prove on") and "--test FILE" in line


def test_a_library_user_gets_them_back_from_a_frame(tmp_path: Path) -> None:
    rows = rows_of({"a": 20, "b": 20})
    train, test = split(rows, tmp_path / "R", compare={"hold_out": 0.25})
    assert test is not None and len(test) == 10
    kept, dropped = write_back(train, [False] * len(train), tmp_path / "kept")
    assert pl.read_parquet(kept)["text"].to_list() == test.table["text"].to_list()
    assert len(pl.read_parquet(dropped)) == 30
    assert split(rows, tmp_path / "R", compare={"hold_out": 0}) == (rows, None)
