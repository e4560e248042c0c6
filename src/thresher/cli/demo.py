"""`thresher demo`: the whole job on generated data."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, Force, command, place_option
from thresher.cli.job import show, whole_job
from thresher.config import RunConfig
from thresher.errors import UserError
from thresher.pipeline.preset import with_preset
from thresher.settings import checked

if TYPE_CHECKING:
    from thresher.demo import DemoFiles

DemoRun = Annotated[Path, place_option("--out", "RUN", "the run folder to write", show_default=True)]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0, help="of the data and of the training")]


@command()
def demo(
    out: DemoRun = Path("demo-run"),
    seed: Seed = 0,
    force: Force = False,
) -> Answer:
    """Try it in a few minutes: voice commands with planted label noise, a decision which of them to drop, and its proof."""
    started = time.monotonic()
    from thresher.demo.commands import NOISE_SHARE
    from thresher.demo.planted import planted_facts, planted_ids, planted_lines
    from thresher.progress import say

    files = data_of(out, seed, force)
    planted = planted_ids(files.planted)
    say(f"demo: voice commands from Home Assistant's sentence templates, in {files.train.parent}")
    say("demo: label: intent, group: domain; the test rows are other sentences of the same templates")
    say(
        f"demo: noise is planted: {NOISE_SHARE:.0%} of the labels were redrawn at random, which made"
        f" {len(planted):,} of them wrong"
    )
    result = whole_job(settings(files.train, files.test, seed), out, force)
    facts = planted_facts(result.run, planted)
    say(f"demo: {time.monotonic() - started:,.0f} s in total")

    def shown() -> None:
        show(result, "label")
        terminal.lines(planted_lines(facts))

    return Answer({**result.to_dict(), "planted": facts}, shown)


def data_of(out: Path, seed: int, force: bool) -> DemoFiles:
    """The demo's data, generated if missing; the folder of another run is refused before anything is written."""
    from thresher.demo import DemoFiles, generate
    from thresher.run import Run

    folder = out / f"data-{seed}"
    files = DemoFiles(*(folder / f"{name}.jsonl" for name in ("train", "test", "planted")))
    if not force and Run.exists(out):
        source = Run.open(out).config.data.train
        if source != str(files.train):
            raise UserError(f"{out}: holds a run on {source}; choose another --out, or --force to start over")
    complete = all(path.is_file() for path in (files.train, files.test, files.planted))
    return files if complete else generate(folder, seed)


def settings(train: Path, test: Path, seed: int) -> RunConfig:
    """The settings of the demo: all defaults, with a head on the frozen encoder as the model, so that it takes minutes."""
    return with_preset(
        checked(
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
                "select": {"seed": seed},
                "model": {"freeze": True},
                "compare": {"seeds": 5},
            }
        )
    )
