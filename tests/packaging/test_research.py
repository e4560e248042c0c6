"""Every research script imports today's thresher, and every research page has the tables of its JSON."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RESEARCH = ROOT / "research"
# These run in the environment of `make bench-peers`, which has the other libraries.
PEERS = RESEARCH / "benchmarks" / "self_influence"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in RESEARCH.rglob("*.py")
    if PEERS not in path.parents
)
WITH_PAGES = ("study.tables", "while_training.tables", "benchmarks.render", "nlu.figures")


@pytest.mark.parametrize("name", MODULES)
def test_a_script_imports(name: str) -> None:
    import_module(name)


@pytest.mark.parametrize("name", WITH_PAGES)
def test_a_page_has_the_tables_of_its_figures(name: str) -> None:
    pages = import_module(f"research.{name}").pages()
    stale = [page.name for page, text in pages.items() if page.read_text(encoding="utf-8") != text]
    assert stale == [], f"python -m research.{name}"


def test_every_script_is_in_the_index() -> None:
    index = (RESEARCH / "README.md").read_text(encoding="utf-8")
    runnable = [name for name in MODULES if '__name__ == "__main__"' in source(name)]
    assert [name for name in runnable if f"`{name}" not in index] == []


def source(name: str) -> str:
    return (ROOT / Path(*name.split("."))).with_suffix(".py").read_text(encoding="utf-8")
