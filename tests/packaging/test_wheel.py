"""The wheel, built from this tree and installed in an otherwise empty virtual environment."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from thresher.demo import generate

ROOT = Path(__file__).resolve().parents[2]
OFFLINE = ("NewConnectionError", "NameResolutionError", "ConnectTimeoutError", "Retrying (Retry")

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run as a new user would: without this environment and without downloads of models."""
    ours = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**environment, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )


def succeed(*command: str | Path, cwd: Path) -> str:
    done = run(*command, cwd=cwd)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    succeed(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path) -> Iterator[Path]:
    """A new virtual environment with the wheel and its `demo` extra; two gigabytes, gone after the test."""
    with tempfile.TemporaryDirectory(prefix="thresher-wheel-") as folder:
        place = Path(folder)
        succeed(sys.executable, "-m", "venv", "venv", cwd=place)
        pip = [
            place / "venv/bin/python",
            "-m",
            "pip",
            "install",
            "--no-compile",
            "--disable-pip-version-check",
        ]
        installed = run(*pip, "-c", ROOT / "constraints.txt", f"{wheel}[demo]", cwd=place)
        output = installed.stdout + installed.stderr
        if installed.returncode and any(sign in output for sign in OFFLINE):
            pytest.skip(
                "no package index can be reached, so the wheel cannot be installed with its dependencies"
            )
        assert installed.returncode == 0, output[-4000:]
        yield place


def quick_start() -> str:
    """The first Python block of the README below a heading that names Python."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"^#+ [^\n]*\bPython\b.*?^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    assert found, "README.md: no ```python block below a heading that names Python"
    return found[1]


def test_the_wheel_contains_only_the_package(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names} == {"thresher", f"{wheel.name.split('-py3')[0]}.dist-info"}
    in_tree = {
        f"thresher/{path.relative_to(ROOT / 'src/thresher').as_posix()}"
        for path in (ROOT / "src/thresher").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert in_tree == {name for name in names if name.startswith("thresher/")}
    assert "thresher/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_is_the_installed_package_that_runs(environment: Path) -> None:
    code = "import sys, thresher; print(thresher.__file__); print(*sys.path, sep='\\n')"
    output = succeed(environment / "venv/bin/python", "-c", code, cwd=environment)
    assert Path(output.splitlines()[0]).is_relative_to(environment.resolve() / "venv/lib")
    assert str(ROOT) not in output


def test_every_module_imports_without_the_developers_tools(environment: Path) -> None:
    """So no module needs a package that the wheel does not declare."""
    code = (
        "import importlib, pkgutil, thresher\n"
        "for module in pkgutil.walk_packages(thresher.__path__, 'thresher.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
        "        print(module.name)\n"
    )
    imported = succeed(environment / "venv/bin/python", "-c", code, cwd=environment).split()
    assert {"thresher.errors", "thresher.rows", "thresher.selection", "thresher.report"} <= set(imported)
    packages = succeed(
        environment / "venv/bin/python", "-m", "pip", "list", "--format=freeze", cwd=environment
    )
    assert not re.search(r"^(pytest|ruff|mypy|hypothesis)==", packages, flags=re.MULTILINE)


def test_help_names_the_steps(environment: Path) -> None:
    output = succeed(environment / "venv/bin/thresher", "--help", cwd=environment)
    for step in ("run", "train", "measure", "score", "select", "compare", "report", "doctor", "demo"):
        assert re.search(rf"\b{step}\b", output), step


def test_doctor_finds_nothing_missing(environment: Path) -> None:
    output = succeed(environment / "venv/bin/thresher", "doctor", cwd=environment)
    assert re.search(r"\btorch\b.*2\.13\.0", output)


def test_the_python_quick_start_of_the_readme_runs(environment: Path) -> None:
    """On `train.jsonl` and `test.jsonl` in the folder it is started in: the demo's data, cut short."""
    folder = environment / "quick-start"
    files = generate(folder)
    for path, n in ((files.train, 600), (files.test, 200)):
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:n]))
    (folder / "quick_start.py").write_text(quick_start())
    succeed(environment / "venv/bin/python", "quick_start.py", cwd=folder)
