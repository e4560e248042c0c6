"""Bad input gives one line with the place and the remedy, exit code 2, no traceback and no partial files."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import pytest
import torch
from command_line import Answer, Call, commands, contents, process, training, write_jsonl

from thresher.config import DataConfig, RunConfig
from thresher.run.lock import lock
from thresher.run.manifest import Manifest, write_manifest

Make = Callable[[Path], object]


@dataclass(frozen=True)
class Case:
    """Files to make, arguments (`@` is the folder they are in), and what the line must say."""

    name: str
    arguments: str
    says: tuple[str, ...]
    make: Make = lambda folder: None
    slow_import: bool = False


def text(name: str, content: str | bytes) -> Make:
    return lambda folder: (folder / name).write_bytes(
        content.encode() if isinstance(content, str) else content
    )


def rows(name: str, values: list[tuple[object, object]]) -> Make:
    lines = (json.dumps({"text": one, "label": label}) for one, label in values)
    return text(name, "".join(line + "\n" for line in lines))


GOOD = rows("train.jsonl", [("play", "a"), ("stop", "b"), ("go", "a"), ("on", "b")])
COLUMNS = "--text text --label label --out @/R"
RUN = f"run @/train.jsonl {COLUMNS}"


def good_and(other: Make) -> Make:
    def make(folder: Path) -> None:
        GOOD(folder)
        other(folder)

    return make


def pickled_model(folder: Path) -> None:
    GOOD(folder)
    (folder / "model").mkdir()
    (folder / "model/config.json").write_text('{"model_type": "bert"}')
    torch.save({}, folder / "model/pytorch_model.bin")


def empty_folder(folder: Path) -> None:
    GOOD(folder)
    (folder / "model").mkdir()


CASES = [
    Case(
        "missing file", f"run @/trian.jsonl {COLUMNS}", ("trian.jsonl", "no such file", "'train.jsonl'"), GOOD
    ),
    Case(
        "missing text column",
        "run @/train.jsonl --text txt --label label --out @/R",
        ("train.jsonl", "'txt'", "text"),
        GOOD,
    ),
    Case(
        "missing label column",
        "run @/train.jsonl --text text --label intent --out @/R",
        ("train.jsonl", "'intent'", "label"),
        GOOD,
    ),
    Case("missing id column", f"{RUN} --id key", ("train.jsonl", "'key'"), GOOD),
    Case("missing group column", f"{RUN} --group domain", ("train.jsonl", "'domain'"), GOOD),
    Case("empty file", RUN, ("train.jsonl",), text("train.jsonl", "")),
    Case(
        "empty CSV",
        f"run @/train.csv {COLUMNS}",
        ("train.csv", "no rows"),
        text("train.csv", "text,label\n"),
    ),
    Case(
        "broken JSON",
        RUN,
        ("train.jsonl", "line 2"),
        text("train.jsonl", '{"text": "a", "label": "x"}\n{"text": "b", "label"\n'),
    ),
    Case(
        "ragged CSV",
        f"run @/train.csv {COLUMNS}",
        ("train.csv", "line 3"),
        text("train.csv", "text,label\nplay,a\nstop,b,c\n"),
    ),
    Case(
        "not UTF-8",
        f"run @/train.csv {COLUMNS}",
        ("train.csv", "UTF-8", "line 2"),
        text("train.csv", "text,label\ncafé,a\nstop,b\n".encode("latin-1")),
    ),
    Case("null text", RUN, ("line 2", "text", "null"), rows("train.jsonl", [("a", "x"), (None, "y")])),
    Case("null label", RUN, ("line 2", "label", "null"), rows("train.jsonl", [("a", "x"), ("b", None)])),
    Case(
        "NaN label",
        RUN,
        ("line 2", "label"),
        rows("train.jsonl", [("a", 1), ("b", float("nan")), ("c", 2)]),
    ),
    Case(
        "NaN text",
        RUN,
        ("line 2", "text"),
        rows("train.jsonl", [("a", "x"), (float("nan"), "y")]),
    ),
    Case("one class", RUN, ("'x'", "two"), rows("train.jsonl", [("a", "x"), ("b", "x")])),
    Case(
        "a class per row", RUN, ("3 rows", "label"), rows("train.jsonl", [("a", "x"), ("b", "y"), ("c", "z")])
    ),
    Case(
        "test labels never seen",
        f"{RUN} --test @/test.jsonl",
        ("test.jsonl", "not in the training rows", "zzz"),
        good_and(rows("test.jsonl", [("a", "a"), ("b", "zzz")])),
    ),
    Case("missing test file", f"{RUN} --test @/tset.jsonl", ("tset.jsonl", "no such file"), GOOD),
    Case(
        "test file without the column",
        f"{RUN} --test @/test.csv",
        ("test.csv", "'text'"),
        good_and(text("test.csv", "label\na\n")),
    ),
    *(
        Case(f"prune {p}", f"{RUN} --prune {p}", ("--prune", "between 0 and 1", f"(got '{p}')"), GOOD)
        for p in ("0", "1", "1.5", "-0.1", "nan", "inf")
    ),
    Case("prune that is no number", f"{RUN} --prune half", ("--prune", "between 0 and 1", "'half'"), GOOD),
    Case("unknown score", f"{RUN} --by vogg", ("'vogg'", "vog", "el2n", "tracin"), GOOD),
    Case("unknown strategy", f"{RUN} --strategy best", ("'best'", "cutoff", "softmax"), GOOD),
    Case(
        "unknown option of a strategy",
        f"{RUN} --strategy softmax --strategy-option heat=1",
        ("'heat'", "temperature"),
        GOOD,
    ),
    Case(
        "unknown logger",
        f"{RUN} --set train.report_to=tensorbord",
        ("'tensorbord'", "did you mean 'tensorboard'?"),
        GOOD,
        slow_import=True,
    ),
    Case("unknown end", f"{RUN} --end soft", ("--end", "'easy'", "'hard'"), GOOD),
    Case("unknown option of a score", f"{RUN} --score-option vog.windw=late", ("'windw'", "window"), GOOD),
    Case(
        "value of a score option", f"{RUN} --score-option vog.window=noon", ("window", "noon", "late"), GOOD
    ),
    Case("score option of another form", f"{RUN} --score-option vog", ("vog", "SCORE.OPTION=VALUE"), GOOD),
    Case("column to stratify by", f"{RUN} --strategy stratified --stratify domain", ("'domain'",), GOOD),
    Case("protected column", f"{RUN} --protect source=web", ("'source'",), GOOD),
    Case("protect of another form", f"{RUN} --protect web", ("web", "COLUMN=VALUE"), GOOD),
    Case("negative floor", f"{RUN} --floor -1", ("--floor", "at least 0"), GOOD),
    Case("epochs", f"{RUN} --epochs 0", ("--epochs", "above 0"), GOOD),
    Case("seeds", f"{RUN} --seeds 1", ("--seeds", "at least 2"), GOOD),
    Case("layers", f"{RUN} --layers some", ("--layers", "whole number", "'auto'"), GOOD),
    Case("unknown setting", f"{RUN} --set train.speed=9", ("--set train.speed", "encoder_lr"), GOOD),
    Case("unknown section", f"{RUN} --set trian.epochs=9", ("trian", "train"), GOOD),
    Case("setting of another form", f"{RUN} --set epochs", ("--set 'epochs'", "SECTION.SETTING=VALUE"), GOOD),
    Case("missing config", f"{RUN} --config @/run.yaml", ("run.yaml", "cannot be read"), GOOD),
    Case(
        "broken config",
        f"{RUN} --config @/run.yaml",
        ("run.yaml", "broken YAML"),
        good_and(text("run.yaml", "train: [1\n")),
    ),
    Case(
        "config with an unknown setting",
        f"{RUN} --config @/run.yaml",
        ("run.yaml: train.epoch", "epochs"),
        good_and(text("run.yaml", "train: {epoch: 3}\n")),
    ),
    Case(
        "config with a bad value",
        f"{RUN} --config @/run.yaml",
        ("run.yaml: select.prune", "between 0 and 1", "(got 45)"),
        good_and(text("run.yaml", "select: {prune: 45}\n")),
    ),
    Case(
        "config that is a list",
        f"{RUN} --config @/run.yaml",
        ("run.yaml", "sections"),
        good_and(text("run.yaml", "- 1\n")),
    ),
    Case("no text", "run @/train.jsonl --label label --out @/R", ("--text", "missing"), GOOD),
    Case("no label", "run @/train.jsonl --text text --out @/R", ("--label", "missing"), GOOD),
    Case("no training file", "run --text text --label label --out @/R", ("TRAIN", "missing"), GOOD),
    Case("no out", "run @/train.jsonl --text text --label label", ("--out",), GOOD),
    Case("three texts", "run @/train.jsonl --text a,b,c --label label --out @/R", ("--text", "1 to 2"), GOOD),
    Case("text as label", "run @/train.jsonl --text text --label text --out @/R", ("'text'",), GOOD),
    Case("unknown option", f"{RUN} --prun 0.4", ("--prun", "--prune", "--help"), GOOD),
    Case("unknown command", "prune @/train.jsonl", ("prune", "--help"), GOOD),
    Case(
        "out is a file",
        "run @/train.jsonl --text text --label label --out @/train.jsonl",
        ("train.jsonl",),
        GOOD,
    ),
    Case("missing model folder", f"{RUN} --model @/none", ("none", "does not exist"), GOOD, slow_import=True),
    Case("unknown model", f"{RUN} --model no-such/encoder", ("no-such/encoder",), GOOD, slow_import=True),
    Case(
        "model folder without a model",
        f"{RUN} --model @/model",
        ("config.json",),
        empty_folder,
        slow_import=True,
    ),
    Case(
        "pickle-only checkpoint",
        f"{RUN} --model @/model",
        ("safetensors", "pickle"),
        pickled_model,
        slow_import=True,
    ),
    Case("not a run folder", "measure @/R", ("R", "run.yaml", "thresher run")),
    Case("select of nothing", "select @/R --prune 0.3", ("R", "run.yaml")),
    Case(
        "select of a table without out",
        "select @/s.parquet --prune 0.3",
        ("s.parquet", "--out"),
        text("s.parquet", ""),
    ),
    Case(
        "select of a broken table",
        "select @/s.parquet --prune 0.3 --out @/R.parquet",
        ("s.parquet", "parquet"),
        text("s.parquet", "text"),
    ),
    Case("compare of nothing", "compare @/R --test @/train.jsonl", ("R", "run.yaml"), GOOD),
    Case("report of nothing", "report @/R", ("R", "run.yaml")),
]


def refused(answer: Answer, says: tuple[str, ...]) -> None:
    """One line on stderr that says all this, and nothing else anywhere."""
    assert answer.code == 2, answer.err
    assert re.fullmatch(r"error: [^\n]*\n", answer.err), answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert [part for part in says if part not in answer.err] == [], answer.err
    assert answer.err.isprintable() or all(one.isprintable() for one in answer.err[:-1])


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_bad_input_gets_one_line_and_nothing_is_written(case: Case, tmp_path: Path, call: Call) -> None:
    case.make(tmp_path)
    before = contents(tmp_path)
    refused(call(*(part.replace("@", str(tmp_path)) for part in case.arguments.split())), case.says)
    assert contents(tmp_path) == before
    assert not (tmp_path / "R").exists()


PROCESSES = (
    "missing file",
    "missing label column",
    "empty file",
    "broken JSON",
    "ragged CSV",
    "not UTF-8",
    "NaN label",
    "one class",
    "a class per row",
    "test labels never seen",
    "prune 1.5",
    "unknown score",
    "unknown strategy",
    "unknown option",
    "pickle-only checkpoint",
)


@pytest.mark.parametrize("case", [one for one in CASES if one.name in PROCESSES], ids=lambda case: case.name)
def test_the_same_in_a_separate_process(case: Case, tmp_path: Path) -> None:
    case.make(tmp_path)
    before = contents(tmp_path)
    refused(process(*case.arguments.replace("@", ".").split(), cwd=tmp_path), case.says)
    assert contents(tmp_path) == before


def test_data_is_checked_before_torch_is_imported(tmp_path: Path) -> None:
    """A mistake costs a second, not ten."""
    names = [case for case in CASES if not case.slow_import]
    for number, case in enumerate(names):
        (tmp_path / str(number)).mkdir()
        case.make(tmp_path / str(number))
    arguments = [case.arguments.replace("@", str(tmp_path / str(i))).split() for i, case in enumerate(names)]
    code = (
        "import contextlib, io, json, sys\n"
        "from thresher.cli import main\n"
        "for arguments in json.loads(sys.argv[1]):\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()):\n"
        "        main(arguments)\n"
        "    if 'torch' in sys.modules: sys.exit(f'torch was imported by {arguments}')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, json.dumps(arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_control_characters_of_data_do_not_reach_the_terminal(tmp_path: Path, call: Call) -> None:
    lines = [("a", "x\x1b[31mred\x07\n"), ("b", "x\x1b[31mred\x07\n")]
    rows("train.jsonl", lines)(tmp_path)
    answer = call(*RUN.replace("@", str(tmp_path)).split())
    refused(answer, ("red",))
    assert "\x1b" not in answer.err and "\x07" not in answer.err


def other_run(folder: Path) -> Path:
    """A folder that holds the manifest of another run, and nothing else."""
    config = RunConfig(data=DataConfig(train="a", text=("utterance",), label="intent", groups=("room",)))
    facts = {"thresher": "0", "versions": {}, "created": "", "key": "0", "rows_hash": "0", "test_hash": None}
    manifest = Manifest(**facts, n_rows=1, n_test=0, classes=("a", "b"), config=config)
    write_manifest(folder, manifest)
    return folder


def test_a_run_of_other_data_is_left_alone(tmp_path: Path, material: Path, call: Call) -> None:
    out = other_run(tmp_path / "R")
    before = contents(out)
    refused(call("run", *training(material, out)), ("R", "other data", "--force"))
    refused(call("train", *training(material, out)), ("R", "other data", "--force"))
    assert contents(out) == before


@pytest.mark.parametrize("step", ["run", "train", "measure", "score", "select", "compare", "report"])
def test_a_run_of_an_older_format_is_left_alone(
    tmp_path: Path, material: Path, call: Call, step: str
) -> None:
    out = other_run(tmp_path / "R")
    (out / "run.yaml").write_text("format: 0\nconfig: {}\n")
    before = contents(out)
    arguments = training(material, out) if step in ("run", "train") else [out]
    refused(call(step, *arguments), ("format 0", "--out"))
    assert contents(out) == before


def test_files_with_our_names_outside_a_run_are_left_alone(
    tmp_path: Path, material: Path, call: Call
) -> None:
    (tmp_path / "R/kept").mkdir(parents=True)
    (tmp_path / "R/kept/mine.txt").write_text("mine")
    refused(call("run", *training(material, tmp_path / "R")), ("kept", "--out"))
    refused(call("run", *training(material, tmp_path / "R"), "--force"), ("kept", "--out"))
    assert (tmp_path / "R/kept/mine.txt").read_text() == "mine"


def test_folders_of_usual_names_beside_a_run_are_left_alone(
    tmp_path: Path, material: Path, call: Call
) -> None:
    for name in ("models", "noise", "watch", "training", "checkpoints"):
        (tmp_path / "R" / name).mkdir(parents=True)
        (tmp_path / "R" / name / "mine.txt").write_text("mine")
    for force in ([], ["--force"]):
        assert call("train", *training(material, tmp_path / "R"), *force).code == 0
    for name in ("models", "noise", "watch", "training", "checkpoints"):
        assert (tmp_path / "R" / name / "mine.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("step", "before"),
    [("measure", "train"), ("score", "measure"), ("select", "score"), ("compare", "select")],
)
def test_a_step_names_the_one_before_it(tmp_path: Path, call: Call, step: str, before: str) -> None:
    out = other_run(tmp_path / "R")
    refused(call(step, out), (f"thresher {before}",))


def test_a_second_process_on_a_folder_is_refused(tmp_path: Path, material: Path, call: Call) -> None:
    with lock(tmp_path / "R"):
        refused(call("run", *training(material, tmp_path / "R")), ("R", "another", "wait"))


def test_a_defect_is_one_line_and_its_traceback_is_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    write_jsonl(tmp_path / "train.jsonl", commands(9, seed=0))
    monkeypatch.setattr("thresher.api.whole_job.whole_job", lambda *_, **__: 1 / 0)
    columns = ["--text", "utterance", "--label", "intent"]
    told = call("run", tmp_path / "train.jsonl", *columns, "--out", tmp_path / "R", "--quiet")
    assert told.code == 1 and told.err.count("\n") == 1, told.err
    assert f"`thresher run {tmp_path}" in told.err and "stopped with ZeroDivisionError" in told.err
    trace = Path(told.err.split("its traceback is in ")[1].strip())
    assert "1 / 0" in trace.read_text(encoding="utf-8")
    trace.unlink()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            PermissionError(13, "Permission denied", "R/a.json"),
            "R/a.json: cannot be used (Permission denied)",
        ),
        (
            IsADirectoryError(21, "Is a directory", "R/a.json"),
            "R/a.json: cannot be used (Is a directory)",
        ),
        (
            PermissionError("Permission denied (os error 13): R/a.parquet"),
            "Permission denied (os error 13): R/a.parquet",
        ),
    ],
)
def test_a_file_that_may_not_be_used_is_named_whatever_was_being_done(
    error: OSError, said: str, call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: object) -> None:
        raise error

    monkeypatch.setattr(import_module("thresher.run.run"), "read_manifest", denied)
    told = call("score", tmp_path)
    assert told.code == 2
    assert told.err == f"error: {said}; check the path and its permissions, and run the same command again\n"
