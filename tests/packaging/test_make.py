"""`make` and `.ci/run` on machines with few tools; the tools they call are stubs that record their calls."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
OLDER, INSTALLED, NEWER = 1_000_000_000, 1_100_000_000, 1_200_000_000

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def stand_in(path: Path, body: str = "") -> None:
    """A command that appends its name and arguments to `calls` where it is run, then does `body`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho "$(basename $0) $*" >> calls\n{body}\n')
    path.chmod(0o755)


def call(
    folder: Path, *command: str, commands: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run with nothing on the path but the few commands named, in `commands`."""
    path = os.environ["PATH"] if commands is None else str(commands)
    return subprocess.run(
        list(command), cwd=folder, env={"PATH": path, **environment}, capture_output=True, text=True
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout with nothing but what make reads."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
        os.utime(tmp_path / name, (OLDER, OLDER))
    return tmp_path


def calls(folder: Path) -> list[str]:
    path = folder / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def test_the_environment_is_set_up_once_and_again_when_its_requirements_change(tree: Path) -> None:
    stand_in(tree / ".venv/bin/python")
    assert call(tree, "make", "venv").returncode == 0
    (install,) = calls(tree)
    assert install.startswith("python -m pip install") and install.endswith("-c constraints.txt -e .[dev]")

    assert call(tree, "make", "venv").returncode == 0
    assert calls(tree) == []

    for name in ("pyproject.toml", "constraints.txt"):
        os.utime(tree / ".venv/.installed", (INSTALLED, INSTALLED))
        os.utime(tree / name, (NEWER, NEWER))
        assert call(tree, "make", "venv").returncode == 0
        assert calls(tree) == [install]
        os.utime(tree / name, (OLDER, OLDER))


def test_a_failed_install_is_tried_again(tree: Path) -> None:
    stand_in(tree / ".venv/bin/python", "exit 1")
    assert call(tree, "make", "test").returncode != 0
    assert len(calls(tree)) == 1
    stand_in(tree / ".venv/bin/python")
    assert call(tree, "make", "test").returncode == 0
    install, pytest_run = calls(tree)
    assert "pip install" in install
    assert pytest_run.startswith("python -m pytest")


def test_every_target_sets_up_what_it_needs(tree: Path) -> None:
    for target, first, tools in (
        ("demo", "thresher demo --out demo-run", ["thresher"]),
        ("lint", "ruff check", ["ruff", "mypy", "lint-imports"]),
        ("docs", "mkdocs build --strict --quiet", ["mkdocs"]),
    ):
        shutil.rmtree(tree / ".venv", ignore_errors=True)
        for tool in ("python", *tools):
            stand_in(tree / ".venv/bin" / tool)
        assert call(tree, "make", target).returncode == 0
        install, called, *_ = calls(tree)
        assert "pip install" in install
        assert called.strip() == first


@pytest.mark.parametrize("named", ["", "python2.7"])
def test_without_a_new_enough_python_the_error_names_the_version(
    tree: Path, tmp_path: Path, named: str
) -> None:
    commands = tmp_path / "commands"
    commands.mkdir()
    for tool in ("make", "sh", "touch"):
        (commands / tool).symlink_to(str(shutil.which(tool)))
    stand_in(commands / "python3", "exit 0")  # too old: prints no "yes"
    arguments = [f"PYTHON={named}"] if named else []
    failed = call(tree, "make", "venv", *arguments, commands=commands)
    assert failed.returncode != 0
    assert "No Python 3.11 or newer" in failed.stderr
    assert "make PYTHON=" in failed.stderr
    assert not (tree / ".venv").exists()


@pytest.fixture
def ci(tmp_path: Path) -> Path:
    """A folder with `.ci/run` and, in `commands`, the few commands of a bare machine."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    commands = tmp_path / "commands"
    commands.mkdir()
    for tool in ("bash", "dirname", "basename"):
        (commands / tool).symlink_to(str(shutil.which(tool)))
    stand_in(commands / "id", "echo 0")
    stand_in(commands / "make", "echo 3 passed")
    stand_in(commands / "apt-get")
    return tmp_path


def test_ci_installs_chromium_where_it_is_missing_and_lints_and_tests(ci: Path) -> None:
    done = call(ci, ".ci/run", commands=ci / "commands")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "3 passed"
    made = [line for line in calls(ci) if not line.startswith("id")]
    assert made[0].startswith("apt-get update")
    assert made[1].startswith("apt-get install") and made[1].endswith("chromium chromium-driver")
    assert made[2:] == ["make lint", "make test"]


def test_ci_leaves_an_installed_chromium_alone(ci: Path) -> None:
    for name in ("chromium", "chromedriver"):
        stand_in(ci / "commands" / name)
    assert call(ci, ".ci/run", commands=ci / "commands").returncode == 0
    assert calls(ci) == ["make lint", "make test"]


def test_ci_continues_without_chromium_and_says_so(ci: Path) -> None:
    stand_in(ci / "commands/apt-get", "exit 100")
    done = call(ci, ".ci/run", commands=ci / "commands")
    assert done.returncode == 0
    assert "browser tests will be skipped" in done.stderr


@pytest.mark.parametrize("failing", ["lint", "test"])
def test_ci_fails_when_lint_or_tests_fail_and_runs_both(ci: Path, failing: str) -> None:
    stand_in(ci / "commands/make", f'[ "$1" != {failing} ]')
    assert call(ci, ".ci/run", commands=ci / "commands").returncode == 1
    assert [line for line in calls(ci) if line.startswith("make")] == ["make lint", "make test"]
