"""`thresher noise`: planted label noise."""

from __future__ import annotations

from typing import Any

import typer

from thresher.cli import terminal
from thresher.cli.options import NOISE, Force, Json, Overrides, Quiet, RunFolder, takes
from thresher.cli.settings import changes


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(noise)


@takes(*NOISE)
def noise(
    context: typer.Context,
    *,
    run: RunFolder,
    set: Overrides = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Plant label noise: what pruning does then, and which scores find the wrong labels."""
    terminal.start(quiet)
    settings = changes(run, "noise", NOISE, context.params, set)
    from thresher import api

    entry = api.noise(run, force=force, **settings)
    if json:
        terminal.as_json({"run": str(run), **entry})
        return
    levels = entry["levels"]
    head = ("points to all rows", *(f"{one['kind']} {one['level']:.0%}" for one in levels))
    terminal.table(head, [*accuracy_lines(levels)])
    terminal.line()
    terminal.table(("wrong labels found, %", *head[1:]), [*found_lines(levels)])
    terminal.line(
        "found among as many rows from the hard end as there are wrong labels, so precision is recall"
    )


def accuracy_lines(levels: list[dict[str, Any]]) -> list[list[str]]:
    """Share of labels changed, accuracy on all rows, and the difference of every choice of rows to it, by level."""
    names: dict[str, list[str]] = {
        "labels changed, %": [f"{100 * one['share_changed']:.2f}" for one in levels],
        "all rows, accuracy %": [f"{100 * one['full']['accuracy']['mean']:.2f}" for one in levels],
    }
    for one in levels:
        for line in one["table"]:
            name = f"{line['score'] or 'random'} {line['end'] if line['score'] else ''}".strip()
            points = f"{100 * line['to_full']['mean']:+.2f}"
            names.setdefault(f"{line['fraction']:.0%} off, {name}", []).append(points)
    return [[name, *values] for name, values in names.items()]


def found_lines(levels: list[dict[str, Any]]) -> list[list[str]]:
    """Share of the wrong labels that every score finds, by level, beside chance."""
    lines = [
        [name, *(f"{100 * one['found'][name]['recall']:.1f}" for one in levels)]
        for name in levels[0]["found"]
    ]
    return [*lines, ["chance", *(f"{100 * one['chance']['precision']:.1f}" for one in levels)]]
