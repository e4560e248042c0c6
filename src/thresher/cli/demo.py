"""`thresher demo`: the whole job on data that is made on the spot."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thresher.cli import terminal
from thresher.cli.job import show, whole_job
from thresher.cli.options import Force, Json, Quiet
from thresher.config import RunConfig, checked

DemoRun = Annotated[Path, typer.Option("--out", metavar="RUN", help="the run folder to write")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="of the data and of the training")]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(demo)


def demo(
    out: DemoRun = Path("demo-run"),
    seed: Seed = 0,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Try it: voice commands with planted label noise, pruned by VoG and proved, in a few minutes."""
    terminal.start(quiet)
    from thresher.demo import generate
    from thresher.demo.commands import NOISE_SHARE
    from thresher.demo.planted import planted_ids, planted_lines
    from thresher.progress import say

    files = generate(out / "data", seed)
    planted = planted_ids(files.planted)
    say(
        f"demo: voice commands from Home Assistant's sentence templates, label: intent, group: domain ({out / 'data'})"
    )
    say(
        f"demo: noise is planted: {NOISE_SHARE:.0%} of the labels were redrawn at random, which made"
        f" {len(planted):,} of them wrong; no sentence template of the test rows is in train"
    )
    result = whole_job(settings(files.train, files.test, seed), out, force)
    lines = planted_lines(out, planted)
    if json:
        terminal.as_json({**result, "planted": lines})
        return
    show(result)
    for text in lines:
        terminal.line(text)


def settings(train: Path, test: Path, seed: int) -> RunConfig:
    """The demo's run: every default, prune 0.45, three seeds."""
    return checked(
        {
            "data": {
                "train": str(train),
                "test": str(test),
                "text": ["text"],
                "label": "intent",
                "id": "id",
                "groups": ["domain"],
            },
            "train": {"seed": seed},
            "select": {"prune": 0.45, "seed": seed},
            "compare": {"seeds": 3},
        }
    )
