"""The reference pages that are made from the code when the site is built."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer
from mkdocs.structure.files import File, Files
from pydantic import BaseModel
from typer.cli import get_docs_for_click

import thresher as th
from thresher.cli.main import app
from thresher.config import RunConfig
from thresher.scores import scores
from thresher.selection import strategies
from thresher.training.diets import diets


def cli() -> str:
    """Every command with its options."""
    command = typer.main.get_command(app)
    context = typer.Context(command, info_name="thresher")
    return get_docs_for_click(obj=command, ctx=context, name="thresher", title="Command line")


def settings_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """A table row per setting: name, default, description."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from settings_of(kind, f"{prefix}{name}.")
        else:
            default = (
                "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
            )
            yield f"| `{prefix}{name}` | {default} | {field.description or ''} |"


def settings() -> str:
    """Every setting of `run.yaml`."""
    return "\n".join(
        (
            "# Settings",
            "",
            "Every setting of a run, as in `run.yaml`. Most have their own option; `--set SECTION.NAME=VALUE` reaches all of",
            "them, and `--config FILE` reads them from a YAML file.",
            "",
            "| setting | default | what it does |",
            "|---|---|---|",
            *settings_of(RunConfig),
            "",
        )
    )


def registries() -> str:
    """Every score, strategy and diet: its options and its docstring."""
    tables: dict[str, Any] = {"Scores": scores(), "Strategies": strategies(), "Diets": diets()}
    lines = ["# Scores, strategies, diets", ""]
    for heading, found in tables.items():
        lines += [f"## {heading}", ""]
        for name, entry in found.items():
            options = ", ".join(
                f"`{one}={getattr(value, 'default', value)}`" for one, value in entry.options.items()
            )
            lines += [f"### {name}", "", f"Options: {options or 'none'}. Source: {entry.source}.", ""]
            lines += [
                documented(entry.function),
                "      show_root_heading: false",
                "      show_signature: false",
                "",
            ]
    return "\n".join(lines)


def documented(function: Callable[..., Any]) -> str:
    """The directive for a function, by the module that defines it: some modules have the name of their function."""
    return f"::: {function.__module__}.{function.__qualname__}\n    options:"


PAGES = {"cli": cli, "settings": settings, "registries": registries}


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages."""
    for name, made in PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=made()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Expand `::: th.NAME`, and `<!-- CONTRIBUTING: heading -->` to that section of CONTRIBUTING.md."""
    markdown = re.sub(r"<!-- CONTRIBUTING: (.+?) -->", lambda found: section(found[1]), markdown)
    return re.sub(r"^::: th\.(\w+)$", lambda found: public(found[1]), markdown, flags=re.M)


def public(name: str) -> str:
    """The directive for a public function of `thresher`."""
    return f"{documented(getattr(th, name))}\n      heading: th.{name}\n      toc_label: th.{name}"


def section(heading: str) -> str:
    """The text under a second-level heading of CONTRIBUTING.md."""
    text = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    return text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0].strip()
