"""The whole job and its steps on real files, with a tiny random model."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from html import unescape
from pathlib import Path

import polars as pl
import pytest
import yaml
from command_line import (
    UNPROVED,
    Call,
    cells_of,
    commands,
    comparisons,
    contents,
    process,
    training,
    whole_run,
    write_jsonl,
)

import thresher as th
from thresher.scores import scores
from thresher.scores.registry import OF_TEXTS

pytestmark = pytest.mark.slow

STEPS = ("train", "measure", "score", "select", "compare", "report")


@pytest.fixture(scope="module")
def first(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, by a process of its own; it is read only, and beside it `run.json` is what it printed."""
    folder = tmp_path_factory.mktemp("first")
    answer = process("run", *whole_run(material, folder / "R"), "--json", cwd=folder)
    assert answer.code == 0, answer.err
    (folder / "run.json").write_text(answer.out)
    return folder / "R"


@pytest.fixture
def finished(first: Path, tmp_path: Path) -> Path:
    """A copy of the finished run, to go on with."""
    return shutil.copytree(first, tmp_path / "R")


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def test_kept_and_dropped_rows_are_the_input_in_its_order(first: Path, material: Path) -> None:
    kept, dropped = lines(first / "kept.jsonl"), lines(first / "dropped.jsonl")
    assert (len(kept), len(dropped)) == (36, 24)
    selection = pl.read_parquet(first / ".thresher/select/vog_class-easy-cutoff-0.4.parquet")
    chosen = dict(selection.select("id", "kept").iter_rows())
    ids = pl.read_parquet(first / ".thresher/rows/rows.parquet")["id"]
    given = lines(material / "train.jsonl")
    assert [row for row, id in zip(given, ids, strict=True) if chosen[id]] == kept
    assert [row for row, id in zip(given, ids, strict=True) if not chosen[id]] == dropped


def test_the_easy_rows_of_each_class_are_those_dropped(first: Path) -> None:
    scores = pl.read_parquet(first / ".thresher/score/scores.parquet").sort("vog_class")
    selection = pl.read_parquet(first / ".thresher/select/vog_class-easy-cutoff-0.4.parquet")
    assert set(selection.filter(~pl.col("kept"))["id"]) == set(scores["id"][:24])


def test_the_folder_holds_what_the_contract_says(first: Path) -> None:
    manifest = yaml.safe_load((first / "run.yaml").read_text())
    assert (manifest["format"], manifest["n_rows"], manifest["n_test"]) == (3, 60, 24)
    assert manifest["classes"] == ["light", "music", "weather"]
    assert manifest["config"]["select"]["prune"] == 0.4
    shown = {path.name for path in first.iterdir()}
    assert shown == {"run.yaml", "kept.jsonl", "dropped.jsonl", "suspects.csv", "report.html", ".thresher"}
    for name in ("rows/rows.parquet", "rows/test.parquet", "rows/audit.json", "score/scores.parquet"):
        assert (first / ".thresher" / name).is_file(), name
    assert {path.parent.name for path in first.glob(".thresher/*/step.json")} == {*STEPS, "decide"}
    assert not list(first.rglob("*.tmp"))


def test_json_is_one_document_with_the_proof(first: Path) -> None:
    result = json.loads((first.parent / "run.json").read_text())
    assert (result["n_rows"], result["n_kept"]) == (60, 36)
    assert Path(result["kept"]).samefile(first / "kept.jsonl")
    assert Path(result["report"]).samefile(first / "report.html")
    arms = result["compare"]["arms"]
    assert {arm: found["n_train"] for arm, found in arms.items()} == {"full": 60, "kept": 36, "random": 36}
    assert all(len(found["accuracy"]["values"]) == 2 for found in arms.values())
    assert comparisons(first)[result["selection"]] == result["compare"]
    decision, proved = result["decision"], result["compare"]["decision"]
    assert (decision["word"], decision["sentence"], decision["prune"]) == (
        proved["word"],
        proved["sentence"],
        0.4,
    )
    assert [one["selection"] for one in decision["tried"]] == [result["selection"]]


def test_the_same_seed_gives_the_same_bytes(first: Path, material: Path, tmp_path: Path) -> None:
    answer = process("run", *whole_run(material, tmp_path / "R"), cwd=tmp_path)
    assert answer.code == 0, answer.err
    for name in (".thresher/score/scores.parquet", "kept.jsonl", "dropped.jsonl"):
        assert (tmp_path / "R" / name).read_bytes() == (first / name).read_bytes(), name
    results = [comparisons(run) for run in (first, tmp_path / "R")]
    names = ("arms", "differences", "groups", "verdict")
    one, two = ({n: r["vog_class-easy-cutoff-0.4"][n] for n in names} for r in results)
    assert one == two


def test_a_finished_run_does_nothing_and_says_so(finished: Path, material: Path, call: Call) -> None:
    before = contents(finished)
    answer = call("run", *whole_run(material, finished))
    assert answer.code == 0
    assert [line.split(":")[0] for line in answer.err.splitlines()] == list(STEPS)
    assert answer.err.count("already done") == len(STEPS)
    assert contents(finished) == before


def test_a_finished_run_imports_no_slow_library(finished: Path, material: Path) -> None:
    arguments = [str(one) for one in ["run", *whole_run(material, finished)]]
    code = (
        "import contextlib, json, sys\n"
        "from thresher.cli import main\n"
        "with contextlib.suppress(SystemExit): main(json.loads(sys.argv[1]))\n"
        "slow = {'torch', 'transformers', 'scipy', 'sklearn', 'pandas', 'plotly'} & set(sys.modules)\n"
        "sys.exit(f'imported: {slow}' if slow else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(arguments)], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr.count("already done") == len(STEPS), done.stderr


def test_the_end_of_a_run_is_a_table_a_verdict_and_paths(finished: Path, material: Path, call: Call) -> None:
    shown = call("run", *whole_run(material, finished), "--quiet")
    entry = comparisons(finished)["vog_class-easy-cutoff-0.4"]
    assert shown.err == ""
    head, *arms = shown.out.splitlines()[:4]
    assert head.split()[:3] == ["trained", "on", "rows"]
    for line, arm, rows in zip(arms, ("full", "kept", "random"), (60, 36, 36), strict=True):
        accuracy = entry["arms"][arm]["accuracy"]
        assert f" {rows}  " in line
        assert f"{100 * accuracy['mean']:.2f} ± {100 * accuracy['std']:.2f}" in line
    assert entry["verdict"] in shown.out
    assert entry["decision"]["sentence"] in shown.out
    assert entry["decision"]["word"] in ("probably safe", "undecided")  # of 24 test rows
    assert entry["decision"]["sentence"] in unescape((finished / "report.html").read_text())
    assert f"kept rows (36 of 60): {finished / 'kept.jsonl'}\n" in shown.out
    assert f"report: {finished / 'report.html'}\n" in shown.out
    assert "\x1b" not in shown.out


def test_a_terminal_without_the_characters_gets_replacements(finished: Path, material: Path) -> None:
    answer = process(
        "run", *whole_run(material, finished), cwd=finished, env={**os.environ, "PYTHONIOENCODING": "ascii"}
    )
    assert answer.code == 0, answer.err
    assert re.search(r"^all rows +60 +[\d.]+ \? [\d.]+ ", answer.out, flags=re.MULTILINE)


def test_another_prune_repeats_only_the_steps_after_it(finished: Path, material: Path, call: Call) -> None:
    before = contents(finished)
    answer = call("run", *whole_run(material, finished), "--prune", 0.25)
    assert answer.code == 0, answer.err
    done = [line.split(":")[0] for line in answer.err.splitlines() if "already done" in line]
    assert done == ["train", "measure", "score"]
    after = contents(finished)
    assert len(after["kept.jsonl"].splitlines()) == 45
    unchanged = ("rows/rows.parquet", "score/scores.parquet", "train/checkpoints/run-0/done.json")
    assert all(after[f".thresher/{name}"] == before[f".thresher/{name}"] for name in unchanged)
    assert after["report.html"] != before["report.html"]
    cells = cells_of(finished)
    assert sum(cell["arm"] == "full" for cell in cells.values()) == 2


@pytest.mark.parametrize("step", ["measure", "score", "select", "report"])
def test_force_redoes_a_step_and_gives_the_same(finished: Path, call: Call, step: str) -> None:
    before = contents(finished)
    answer = call(step, finished, "--force")
    assert answer.code == 0, answer.err
    assert "already done" not in answer.err
    after = contents(finished)
    assert after.keys() == before.keys()
    same = (
        ".thresher/score/scores.parquet",
        "kept.jsonl",
        ".thresher/select/vog_class-easy-cutoff-0.4.parquet",
    )
    assert all(after[name] == before[name] for name in same)
    assert call(step, finished).err.count("already done") == 1


def test_other_data_needs_force_and_then_starts_over(finished: Path, material: Path, call: Call) -> None:
    (finished / "notes.txt").write_text("mine")
    other = write_jsonl(finished.parent / "other.jsonl", commands(40, seed=9))
    arguments = [other, *training(material, finished)[1:]]
    before = contents(finished)
    refused = call("run", *arguments)
    assert refused.code == 2 and "other data" in refused.err
    assert contents(finished) == before
    answer = call("run", *arguments, *UNPROVED, "--prune", 0.5, "--force")
    assert answer.code == 0, answer.err
    assert len(lines(finished / "kept.jsonl")) == 20
    assert (finished / "notes.txt").read_text() == "mine"
    assert not (finished / ".thresher/rows/test.parquet").exists()


def test_other_settings_of_training_need_force(finished: Path, material: Path, call: Call) -> None:
    answer = call("run", *whole_run(material, finished), "--epochs", 3)
    assert answer.code == 2
    assert "other settings" in answer.err and "--force" in answer.err


def test_seeds_are_added_to_all_arms_until_it_is_decided(
    finished: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from thresher.experiments import decision

    before = cells_of(finished)
    monkeypatch.setattr(decision, "caution", lambda truth, full: "")
    monkeypatch.setattr(decision, "within_reach", lambda *given: True)
    monkeypatch.setattr(
        decision, "word_of", lambda found, margin: "drop" if found["seeds"] == 3 else "probably safe"
    )
    answer = call("compare", finished, "--seeds", 2, "--most-seeds", 3, "--workers", 1)
    assert answer.code == 0, answer.err
    assert "compare: undecided after 2 seeds, going on to 3" in answer.err
    (entry,) = comparisons(finished).values()
    looks = entry["decision"]["looks"]
    assert [(look["seeds"], look["word"]) for look in looks] == [(2, "probably safe"), (3, "drop")]
    assert entry["settings"]["seeds"] == [0, 1, 2]
    assert {len(arm["accuracy"]["values"]) for arm in entry["arms"].values()} == {3}
    found = entry["differences"]["kept-full"]["accuracy"]
    assert all(found[name] == looks[-1][name] for name in ("mean", "low", "high"))
    assert len(cells_of(finished)) - len(before) == 3
    assert "the intervals allow for 2 looks" in answer.out
    assert "already done" in call("compare", finished, "--seeds", 2).err


def test_steps_alone_make_the_same_as_the_whole_job(
    first: Path, material: Path, tmp_path: Path, call: Call
) -> None:
    out = tmp_path / "R"
    trained = call("train", *training(material, out), "--test", material / "test.jsonl", "--json").json
    assert trained["steps"] == 16
    assert call("measure", out, "--json").json["rows"] == 60
    scored = call("score", out, "--json").json
    # The others need the encoder's features, cross-validation, or a training that was watched.
    elsewhere = {"features", "held_out_logits", "gradient_sq_mean", "word_margin", *OF_TEXTS}
    assert set(scored["scores"]) == {name for name, one in scores().items() if not elsewhere & set(one.needs)}
    selected = call("select", out, "--prune", 0.4, "--json").json
    assert (selected["n_kept"], selected["column"], selected["hard"]) == (36, "vog_class", "high")
    compared = call("compare", out, "--seeds", 2, "--workers", 1, "--json").json
    assert compared["settings"]["seeds"] == [0, 1]
    assert Path(call("report", out, "--json").json["report"]).is_file()
    for name in (".thresher/score/scores.parquet", "kept.jsonl"):
        assert (out / name).read_bytes() == (first / name).read_bytes(), name


def test_without_test_rows_nothing_is_compared_and_they_can_be_given_later(
    material: Path, tmp_path: Path, call: Call
) -> None:
    out = tmp_path / "R"
    answer = call("run", *training(material, out), *UNPROVED, "--prune", 0.4)
    assert answer.code == 0, answer.err
    assert (
        "Nothing was proved on the model: there are no test rows" in answer.out
        and "--test FILE" in answer.out
    )
    assert call("compare", out).err.startswith("error: ")
    proved = call("compare", out, "--test", material / "test.jsonl", "--seeds", 2, "--workers", 1)
    assert proved.code == 0, proved.err
    assert "kept rows" in proved.out
    again = call("run", *whole_run(material, out))
    assert again.err.count("already done") == 5, again.err
    assert "The selection was not tested" not in again.out


def test_a_prune_that_keeps_nothing_of_a_class_keeps_the_floor_and_warns(finished: Path, call: Call) -> None:
    scores = pl.read_parquet(finished / ".thresher/score/scores.parquet")
    lowest = scores.group_by("label").agg(pl.max("vog")).sort("vog")["label"][0]
    raw = ["--normalise", "raw", "--prune", 0.95]
    answer = call("select", finished, *raw, "--quiet")
    assert answer.code == 0
    (line,) = answer.err.splitlines()
    assert line.startswith("warning: prune 0.95 keeps no row of ") and lowest in line and "floor" in line
    kept = [json.loads(row)["intent"] for row in lines(finished / "kept.jsonl")]
    assert len(kept) == 3 and set(kept) == {"light", "music", "weather"}
    answer = call("select", finished, *raw, "--floor", 0)
    assert "--floor 1" in answer.err
    assert lowest not in {json.loads(row)["intent"] for row in lines(finished / "kept.jsonl")}


def test_protected_rows_and_floors_of_groups_take_the_users_column_names(finished: Path, call: Call) -> None:
    options = ["--protect", "intent=music", "--floor-group", "room", "--floor", 2, "--prune", 0.6]
    answer = call("select", finished, *options)
    assert answer.code == 0, answer.err
    dropped = [json.loads(row) for row in lines(finished / "dropped.jsonl")]
    assert dropped and not [row for row in dropped if row["intent"] == "music"]
    answer = call("select", finished, "--strategy", "stratified", "--stratify", "intent", "--prune", 0.5)
    assert answer.code == 0, answer.err


def test_the_recommended_rule_needs_no_score_and_no_groups(finished: Path, call: Call) -> None:
    answer = call("select", finished, "--strategy", "recommended", "--prune", 0.5)
    assert answer.code == 0, answer.err
    kept, dropped = (len(lines(finished / f"{name}.jsonl")) for name in ("kept", "dropped"))
    assert kept == round(0.5 * (kept + dropped))
    assert (finished / ".thresher/select" / "aum+correctness-easy-recommended-0.5.parquet").is_file()


def test_select_is_refused_before_anything_changes(finished: Path, call: Call) -> None:
    before = contents(finished)
    for option, value, says in (
        ("--by", "vogg", "vogg"),
        ("--strategy", "best", "best"),
        ("--prune", "1.5", "--prune must lie between 0 and 1"),
        ("--set", "train.epochs=2", "select"),
        ("--protect", "shop=x", "shop"),
    ):
        answer = call("select", finished, option, value)
        assert (answer.code, answer.err.count("\n")) == (2, 1)
        assert says in answer.err
    assert contents(finished) == before


def test_a_source_that_changed_is_refused(material: Path, tmp_path: Path, call: Call) -> None:
    shutil.copy(material / "train.jsonl", tmp_path)
    arguments = [tmp_path / "train.jsonl", *training(material, tmp_path / "R")[1:], *UNPROVED]
    assert call("run", *arguments).code == 0
    write_jsonl(tmp_path / "train.jsonl", commands(60, seed=5))
    before = contents(tmp_path / "R")
    answer = call("select", tmp_path / "R", "--prune", 0.3)
    assert answer.code == 2 and "changed since" in answer.err
    assert contents(tmp_path / "R") == before


def test_a_moved_source_is_found_where_it_is_now(material: Path, tmp_path: Path, call: Call) -> None:
    shutil.copy(material / "train.jsonl", tmp_path / "a.jsonl")
    options = [*training(material, tmp_path / "R")[1:], *UNPROVED]
    assert call("run", tmp_path / "a.jsonl", *options).code == 0
    (tmp_path / "a.jsonl").rename(tmp_path / "b.jsonl")
    answer = call("run", tmp_path / "b.jsonl", *options, "--prune", 0.3)
    assert answer.code == 0, answer.err
    assert len(lines(tmp_path / "R/kept.jsonl")) == 42


def noted(path: Path, note: str) -> Path:
    """The file with a column that no step reads."""
    rows = [json.loads(line) for line in lines(path)]
    path.write_text("".join(json.dumps({**row, "note": note}) + "\n" for row in rows))
    return path


def test_a_column_that_no_step_reads_is_written_back_as_it_is_now(
    material: Path, tmp_path: Path, call: Call
) -> None:
    source = noted(shutil.copy(material / "train.jsonl", tmp_path / "a.jsonl"), "old")
    options = [*training(material, tmp_path / "R")[1:], *UNPROVED]
    assert call("run", source, *options).code == 0
    noted(source, "new")
    answer = call("run", source, *options)
    assert answer.code == 0 and "the source of the rows has changed; doing it again" in answer.err, answer.err
    assert {json.loads(line)["note"] for line in lines(tmp_path / "R/kept.jsonl")} == {"new"}
    assert "select: already done" in call("run", source, *options).err


def test_a_project_that_has_moved_is_resumed_by_the_same_names(material: Path, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    shutil.copy(material / "train.jsonl", tmp_path / "old/a.jsonl")
    options = [*training(material, Path("R"))[1:], *UNPROVED]
    assert process("run", "a.jsonl", *options, cwd=tmp_path / "old").code == 0
    (tmp_path / "old").rename(tmp_path / "new")
    answer = process("run", "a.jsonl", *options, "--prune", 0.3, cwd=tmp_path / "new")
    assert answer.code == 0, answer.err
    assert len(lines(tmp_path / "new/R/kept.jsonl")) == 42


def test_a_frame_with_other_values_beside_the_rows_is_written_back_as_it_is_now(
    material: Path, tmp_path: Path
) -> None:
    frame = pl.DataFrame(commands(60, seed=1))
    settings = {"model": str(material / "tiny"), "epochs": 2, "batch_size": 8, "checkpoints": 4, "threads": 1}
    for note in ("old", "new", "new"):
        rows = th.load(frame.with_columns(note=pl.lit(note)), text="utterance", label="intent")
        run = th.train(rows, out=tmp_path / "R", **settings)
        th.measure(run)
        th.score(run)
        path = run.record_file("select")
        before = path.stat().st_mtime_ns if path.is_file() else 0
        th.select(run, prune=0.4)
        assert set(pl.read_parquet(run.folder / "kept.parquet")["note"]) == {note}
    assert path.stat().st_mtime_ns == before


def test_the_python_interface_does_the_same(first: Path, material: Path, tmp_path: Path) -> None:
    rows = th.load(material / "train.jsonl", text="utterance", label="intent", groups="room")
    settings = {"epochs": 2, "batch_size": 8, "checkpoints": 4, "threads": 1, "seeds": 2, "workers": 1}
    result = th.run(
        rows,
        out=tmp_path / "R",
        test=material / "test.jsonl",
        model=str(material / "tiny"),
        preset="paper",
        prune=0.4,
        **settings,
    )
    assert (tmp_path / "R/kept.jsonl").read_bytes() == (first / "kept.jsonl").read_bytes()
    assert result["compare"]["arms"]["kept"]["n_train"] == 36
    again = th.select(tmp_path / "R", prune=0.2)
    assert again["kept"].sum() == 48
    assert th.report(tmp_path / "R").is_file()
    assert th.report(tmp_path / "R").is_file()
    with pytest.raises(th.UserError, match=r"select\.prune must lie between 0 and 1"):
        th.select(tmp_path / "R", prune=2)
