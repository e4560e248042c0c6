"""`thresher nlu` on the command line: exit codes, files, one line per error."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from toy import toy_config, toy_rows

from thresher.cli import main
from thresher.cli.nlu.study import named_tests
from thresher.errors import UserError
from thresher.nlu.ab import Traffic
from thresher.nlu.rows import load_utterances, save_utterances
from thresher.nlu.stack.answer import Stack
from thresher.nlu.stack.build import train_stack
from thresher.nlu.stack.folder import load_stack


def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["nlu", *map(str, arguments)])
    captured = capsys.readouterr()
    return int(ended.value.code or 0), captured.out, captured.err


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    save_utterances(toy_rows(2), folder / "train.jsonl")
    save_utterances(toy_rows(1), folder / "test.jsonl")
    train_stack(toy_rows(2), folder / "stack", toy_config(folder), workers=1)
    return folder


def test_rows_are_converted_and_counted(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, "convert", files / "train.jsonl", "--out", tmp_path / "train.conll")
    assert code == 0 and "16 rows" in out
    code, out, _ = call(
        capsys, "convert", tmp_path / "train.conll", "--out", tmp_path / "t.jsonl", "--to", "slurp", "--json"
    )
    assert code == 0 and json.loads(out)["rows"] == 16
    assert load_utterances(tmp_path / "t.jsonl").rows.equals(load_utterances(files / "train.jsonl").rows)
    code, out, _ = call(capsys, "entropy", files / "train.jsonl", "--json")
    assert {row["domain"]: row["intent_entropy"] for row in json.loads(out)} == {
        "home": 1.0,
        "music": 0.0,
        "weather": 0.0,
    }


def test_a_bad_row_is_one_line_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad.jsonl"
    lines = [{"annotated": text, "domain": "a", "intent": "b"} for text in ("go", "go [x : y", "stop")]
    bad.write_text("\n".join(map(json.dumps, lines)))
    code, out, err = call(capsys, "convert", bad, "--out", tmp_path / "o.jsonl")
    assert (
        (code, out) == (2, "")
        and err.startswith("error: ")
        and "bad.jsonl line 2" in err
        and err.count("\n") == 1
    )
    assert not (tmp_path / "o.jsonl").exists()
    code, _, err = call(capsys, "convert", bad, "--out", tmp_path / "o.jsonl", "--skip-bad")
    assert (
        code == 0
        and "warning: 1 row passed over" in err
        and len((tmp_path / "o.jsonl").read_text().splitlines()) == 2
    )


def test_a_stack_is_evaluated_and_asked(
    files: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = call(capsys, "evaluate", files / "stack", files / "test.jsonl")
    assert (
        code == 0
        and out.splitlines()[1].split()[:3] == ["all", "8", "0.00"]
        and "answered by: models 8" in out
    )
    code, out, _ = call(capsys, "predict", files / "stack", "play some alarm", "--json")
    assert json.loads(out)["domain"] == "music"
    monkeypatch.setattr(sys, "stdin", io.StringIO("set the kitchen\n\nplay some music\n"))
    code, out, _ = call(capsys, "predict", files / "stack")
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == ["home", "music"]
    assert "room = kitchen" in out and "[models; domain " in out
    code, out, _ = call(capsys, "predict", files / "stack", "play some alarm", "--domain-threshold", 1)
    assert out.startswith("- / -") and "no domain" in out


def test_mistakes_are_one_line(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = files / "train.jsonl"
    cases: list[tuple[tuple[Any, ...], str]] = [
        (("train", tmp_path / "none.jsonl", "--out", tmp_path / "s"), "no such file"),
        (
            ("train", train, "--out", tmp_path / "s", "--set", "joint.epoch=2"),
            "unknown setting 'joint.epoch'",
        ),
        (("train", train, "--out", tmp_path / "s", "--set", "joint.epochs=x"), "setting 'joint.epochs'"),
        (("train", train, "--out", tmp_path / "s", "--set", "seed"), "write SETTING=VALUE"),
        (("evaluate", tmp_path, train), "not a stack folder"),
        (("select", tmp_path, "--out", tmp_path / "k.jsonl"), "missing; run `thresher nlu score` first"),
        (("report", tmp_path), "not a study folder"),
        (("ab", tmp_path / "a.parquet", tmp_path / "b.parquet"), "no such file"),
        (("study", train, "--test", "x", "--scores", tmp_path, "--out", tmp_path / "s"), "write NAME=FILE"),
        (
            (
                "study",
                train,
                "--test",
                f"a={train}",
                "--scores",
                tmp_path,
                "--out",
                tmp_path,
                "--technique",
                "random",
            ),
            "add --prune",
        ),
    ]
    for arguments, problem in cases:
        code, out, err = call(capsys, *arguments)
        assert (code, out) == (2, ""), arguments
        assert problem in err and err.count("\n") == 1 and err.startswith("error: "), err
    assert not (tmp_path / "s").exists()


def test_two_stacks_are_replayed_and_compared(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train_stack(toy_rows(1), tmp_path / "worse", toy_config(files, **{"domain.max_steps": 2}), workers=1)
    pair = (files / "stack", tmp_path / "worse")
    code, out, _ = call(
        capsys, "replay", *pair, "--test", files / "test.jsonl", "--out", tmp_path / "logs", "--users", 300
    )
    assert code == 0 and "This is a simulation" in out
    about = json.loads((tmp_path / "logs" / "replay.json").read_text())
    assert "simulation" in about and about["traffic"]["users"] == 300 != Traffic().users
    logs = [tmp_path / "logs" / f"{arm}.parquet" for arm in "AB"]
    code, out, _ = call(capsys, "ab", *logs, "--resamples", 200, "--json")
    found = json.loads(out)
    assert found["metrics"]["PDR"]["change"] > 0
    assert found["facts"]["users_a"] + found["facts"]["users_b"] == 300
    code, out, _ = call(capsys, "ab", *logs, "--resamples", 200)
    assert [line.split()[0] for line in out.splitlines()[1:4]] == ["UER", "PDR", "PDR-tail"]


def test_a_replayed_stack_keeps_its_own_threshold_if_none_is_given(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[float] = []

    def loaded(stack: Path, **thresholds: float) -> Stack:
        found = load_stack(stack, **thresholds)
        used.append(found.config.domain_threshold)
        return found

    monkeypatch.setattr("thresher.nlu.stack.folder.load_stack", loaded)
    strict = tmp_path / "strict"
    shutil.copytree(files / "stack", strict)
    facts = yaml.safe_load((strict / "stack.yaml").read_text())
    facts["config"]["domain_threshold"] = 0.25
    (strict / "stack.yaml").write_text(yaml.safe_dump(facts, sort_keys=False))
    asked = (
        "replay",
        files / "stack",
        strict,
        "--test",
        files / "test.jsonl",
        "--users",
        300,
        "--out",
        tmp_path,
    )
    for given in ((), ("--domain-threshold", 0.5)):
        call(capsys, *asked, *given)
    assert used == [0.0, 0.25, 0.5, 0.5]


def test_two_test_sets_of_one_name_are_refused(files: Path) -> None:
    tests = [f"one={files / 'test.jsonl'}", f"one={files / 'train.jsonl'}"]
    with pytest.raises(UserError, match="a test set 'one' was given before; give each a different name"):
        named_tests(tests, skip_bad=False)


@pytest.mark.slow
def test_rows_are_scored_and_selected_in_a_separate_process(files: Path, tmp_path: Path) -> None:
    config = toy_config(files)
    settings = [
        f"model.name={config.model.name}",
        "domain.max_steps=6",
        "domain.checkpoints=2",
        "joint.max_steps=4",
    ]
    options = [part for one in settings for part in ("--set", one)]
    run = tmp_path / "RUN"

    def process(*arguments: object) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "thresher", "nlu", *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    process("score", files / "train.jsonl", "--out", run, "--joint", *options)
    scores = pl.read_parquet(run / "nlu_scores.parquet")
    wanted = {"vog_dataset", "vog_class", "el2n", "trail_entropy"}
    wanted |= {"el2n_intent", "el2n_slots", "vog_intent", "vog_slots"}
    assert wanted <= set(scores.columns) and scores.height == 16
    kept = tmp_path / "kept.conll"
    out = process(
        "select",
        run,
        "--by",
        "vog_dataset,trail_entropy",
        "--strategy",
        "mixed",
        "--prune",
        0.5,
        "--source",
        "historical",
        "--floor",
        0,
        "--out",
        kept,
        "--json",
    )
    found = json.loads(out)
    assert {row["value"]: row["kept"] for row in found["source"]} == {"historical": 4, "synthetic": 8}
    assert load_utterances(kept).rows.height == found["kept"] == 12


def test_a_rasa_bot_is_scored_by_intent_and_comes_back_as_a_rasa_file(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    greet = "".join(f"    - good {word}\n" for word in ("morning", "evening", "night", "day"))
    book = "".join(
        f'    - go to [{city}]{{"entity": "city", "role": "to"}}\n' for city in ("Rome", "Bonn", "Oslo")
    )
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "nlu.yml").write_text(
        f"nlu:\n- intent: greet\n  examples: |\n{greet}- intent: book\n  examples: |\n{book}"
        "- lookup: city\n  examples: |\n    - Rome\n"
    )
    settings = [f"model.name={toy_config(files).model.name}", "domain.max_steps=4", "domain.checkpoints=2"]
    options = [part for one in settings for part in ("--set", one)]
    run, kept = tmp_path / "RUN", tmp_path / "kept.yml"
    code, _, said = call(capsys, "score", tmp_path / "bot", "--out", run, *options, "--workers", 1)
    assert code == 0 and "one domain (default); rows are scored by their intent" in said
    code, out, _ = call(capsys, "select", run, "--prune", 0.3, "--floor", 0, "--out", kept, "--json")
    assert code == 0 and json.loads(out)["kept"] == 5
    blocks = yaml.safe_load(kept.read_text())["nlu"]
    lines = {line for block in blocks[:-1] for line in block["examples"].splitlines()}
    assert len(lines) == 5 and lines <= {line.strip() for line in (greet + book).splitlines()}
    assert {block.get("intent") for block in blocks[:-1]} <= {"greet", "book"}
    assert blocks[-1] == {"lookup": "city", "examples": "- Rome\n"}


def test_rows_of_a_split_are_chosen_and_get_a_domain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"annotated": "stop", "domain": "music", "intent": "stop"}
    lines = [json.dumps(row | {"split": split}) for split in ("train", "test", "train")]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    code, out, _ = call(
        capsys, "convert", tmp_path / "a.jsonl", "--where", "split=train", "--out", tmp_path / "b.yml"
    )
    assert code == 0 and "2 rows" in out
    assert "music/stop" in (tmp_path / "b.yml").read_text()
    code, out, _ = call(capsys, "entropy", tmp_path / "b.yml", "--domain", "bot", "--json")
    assert code == 0 and [found["domain"] for found in json.loads(out)] == ["bot"]
