"""`thresher nlu`: the voice-assistant stack."""

from __future__ import annotations

import typer

from thresher.cli.nlu import online, pruning, rows, stack

app = typer.Typer(
    name="nlu",
    help="The voice-assistant stack: domain, intent and slots; its metrics, its pruning, its A/B tests.",
    no_args_is_help=True,
)
for module in (rows, stack, pruning, online):
    module.add_to(app)


def add_to(parent: typer.Typer) -> None:
    """Register the group."""
    parent.add_typer(app)
