"""The commands by name; each is imported only when it is used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

# The module below `thresher.cli` that has the function of a command, and the first sentence of its help.
COMMANDS = {
    "run": (
        "job",
        "Find the rows that the model can do without, prove it by retraining, and write the kept rows.",
    ),
    "train": (
        "steps",
        "Start a run folder: check the rows and train the models that scores are computed from.",
    ),
    "measure": ("steps", "Measure what the scores need, in one pass over the rows."),
    "score": ("steps", "Compute every score that the signals allow, raw and normalised."),
    "select": ("select", "Select the rows to keep, in a run or from any table of scores."),
    "compare": (
        "steps",
        "Test the selection: retrain on the kept rows, on as many random rows and on all rows.",
    ),
    "report": ("steps", "Write the report, one HTML page that needs no network."),
    "explain": (
        "explain",
        "List the training rows that speak for the label of a row (proponents) and against it (opponents).",
    ),
    "tokens": (
        "tokens",
        "Show the loss of each completion token of some rows, with the prompt and without it.",
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
        "Compare every score, from either end, at several fractions, with all rows and random rows.",
    ),
    "noise": (
        "noise",
        "Plant label noise: how pruning behaves, and which scores find the wrong labels.",
    ),
    "map": (
        "map",
        "Map the rows to a plane by the meaning of their texts, for the report.",
    ),
    "demo": (
        "demo",
        "Try it in a few minutes: voice commands with planted label noise, a decision which of them to drop, and its proof.",
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
    """A group with the commands of `COMMANDS` and those that were registered."""

    listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS, *(name for name in super().list_commands(ctx) if name not in COMMANDS)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return super().get_command(ctx, cmd_name)
        module, text = COMMANDS[cmd_name]
        if self.listing:
            return TyperCommand(cmd_name, help=text)
        found = getattr(import_module(f"thresher.cli.{module}"), cmd_name.replace("-", "_"))
        own = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        if isinstance(found, typer.Typer):
            own.add_typer(found)
        else:
            own.command(cmd_name)(found)
        return get_group(own).get_command(ctx, cmd_name)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self.listing = False
