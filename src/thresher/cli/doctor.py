"""`thresher doctor`: report the environment, and the commands that install what is missing."""

from __future__ import annotations

import typer

from thresher.cli import terminal
from thresher.cli.command import Json


def doctor(json: Json = False) -> None:
    """Show versions, device, threads, memory and disk, what is missing and the line that installs it."""
    from thresher.doctor import examine, missing_lines, rows

    found = examine()
    if json:
        terminal.as_json(found)
    else:
        terminal.pairs(rows(found))
        terminal.lines(missing_lines(found) or ["nothing is missing"])
    if found["broken"]:
        raise typer.Exit(1)
