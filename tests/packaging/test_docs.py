"""The site builds without a warning, links resolve, and the reference names everything public."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

import thresher as th

ROOT = Path(__file__).resolve().parents[2]
URLS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
MARKDOWN = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "research").rglob("*.md")]
LINK = re.compile(r"\]\(([^)\s]+)\)")


def links(page: Path) -> Iterator[str]:
    """The links of a page, without those in code."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.S)
    yield from LINK.findall(text)


def in_checkout(page: Path, link: str) -> Path | None:
    """The file or folder that a link of a page means, None for the rest of the web and for places in the page."""
    bare = link.partition("#")[0]
    for address in (f"{URLS['Repository']}/blob/main/", f"{URLS['Repository']}/tree/main/"):
        if bare.startswith(address):
            return ROOT / bare.removeprefix(address)
    if bare.startswith(
        raw := URLS["Repository"].replace("github.com", "raw.githubusercontent.com") + "/main/"
    ):
        return ROOT / bare.removeprefix(raw)
    if bare.startswith(URLS["Documentation"]):
        name = bare.removeprefix(URLS["Documentation"]).strip("/") or "index"
        return ROOT / "docs" / f"{name}.md"
    # mkdocs checks the relative links of the site.
    return None if "://" in bare or not bare or ROOT / "docs" in page.parents else page.parent / bare


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(tmp_path / "site"),
    ]
    built = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    )
    assert built.returncode == 0, built.stdout + built.stderr
    assert built.stdout + built.stderr == ""
    command_line = (tmp_path / "site/reference/cli/index.html").read_text(encoding="utf-8")
    assert "thresher nlu select" in command_line and "--prune" in command_line


@pytest.mark.parametrize("page", MARKDOWN, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_the_checkout_lead_to_a_file(page: Path) -> None:
    found = {link: in_checkout(page, link) for link in links(page)}
    assert [link for link, place in found.items() if place and not place.exists()] == []


def test_the_readme_links_absolutely_for_pypi() -> None:
    assert [link for link in links(ROOT / "README.md") if "://" not in link] == []


def test_addresses_are_those_of_the_package() -> None:
    site = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    assert site["repo_url"] == URLS["Repository"]
    assert site["site_url"] == URLS["Documentation"]


def test_the_reference_names_every_public_function() -> None:
    text = (ROOT / "docs/reference/api.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^::: th\.(\w+)$", text, flags=re.M))
    assert named == {name for name in th.__all__ if not name.startswith("_")}


def test_the_page_on_libraries_names_every_finding() -> None:
    page = (ROOT / "docs/libraries.md").read_text(encoding="utf-8")
    assert [
        script.name for script in (ROOT / "findings").glob("*.sh") if f"`findings/{script.name}`" not in page
    ] == []
