"""The commands by name: each is imported when it is used, and the list of them needs none."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

# The module below `thresher.cli` that has a command, and the first sentence of its help.
COMMANDS = {
    "run": (
        "job",
        "From labelled rows to a pruned file with the proof: train, measure, score, select, compare, report.",
    ),
    "train": (
        "steps",
        "Start a run folder: check the rows and train the model(s) that scores are taken from.",
    ),
    "measure": ("steps", "Measure what the scores need, in one pass over the rows."),
    "score": ("steps", "Compute every score that was measured, raw and normalised."),
    "select": ("steps", "Choose the rows to keep, of a run or of anyone's table of scores."),
    "compare": (
        "steps",
        "Prove the selection: retrain on the kept rows and on as many random ones, beside all rows.",
    ),
    "report": ("steps", "Write the report, one HTML page that needs no network."),
    "explain": (
        "explain",
        "List the training rows that speak for the label of a row (proponents) and against it (opponents).",
    ),
    "suspects": (
        "suspects",
        "List the rows that are most likely mislabelled: given and likely label, and why.",
    ),
    "how-much": (
        "how_much",
        "Find the largest share of the rows that can be dropped, on held-out training rows, and confirm it on the test rows.",
    ),
    "sweep": (
        "sweep",
        "Try every score, from either end, at several fractions: trainings on what is kept, beside all and random rows.",
    ),
    "noise": (
        "noise",
        "Plant label noise: what pruning does then, and which scores find the wrong labels.",
    ),
    "map": (
        "map",
        "Place rows on a plane by what their texts mean; the report shows them, with and without the hard end.",
    ),
    "demo": (
        "demo",
        "Try it: voice commands with planted label noise, pruned by VoG and proved, in a few minutes.",
    ),
    "doctor": (
        "doctor",
        "Show versions, device, threads, memory and disk, what is missing and the line that installs it.",
    ),
    "nlu": (
        "nlu",
        "The voice-assistant stack: domain, intent and slots; its metrics, its pruning, its A/B tests.",
    ),
}


class LazyCommands(TyperGroup):
    """A group whose commands are those of `COMMANDS`, beside those that were registered."""

    listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *(name for name in super().list_commands(ctx) if name not in COMMANDS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, text = COMMANDS[cmd_name]
        if self.listing:
            return TyperCommand(cmd_name, help=text)
        own = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        import_module(f"thresher.cli.{module}").add_to(own)
        return get_group(own).get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self.listing = False
