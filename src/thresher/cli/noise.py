"""`thresher noise`: planted label noise."""

from __future__ import annotations

from typing import Any

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, Force, Overrides, RunFolder, command
from thresher.cli.options import NOISE
from thresher.cli.settings import options_of

ABSENT = "–"


@command(*NOISE)
def noise(
    context: typer.Context,
    *,
    run: RunFolder,
    set: Overrides = None,
    force: Force = False,
) -> Answer:
    """Plant label noise: how pruning behaves, and which scores find the wrong labels."""
    from thresher import api
    from thresher.run import Run

    opened = Run.open(run)
    _, named = options_of(opened.config, {"noise": NOISE}, context.params, set)
    entry = api.noise(opened, force=force, **named["noise"])
    return Answer({"run": str(run), **entry.to_dict()}, lambda: show(entry.levels))


def show(levels: list[dict[str, Any]]) -> None:
    """Print the two tables of a study."""
    head = ("points to all rows", *(f"{one['kind']} {100 * one['level']:g}%" for one in levels))
    terminal.table(head, [*accuracy_lines(levels)])
    terminal.line()
    terminal.table(("wrong labels found, %", *head[1:]), [*found_lines(levels)])
    terminal.line(
        "found among as many rows from the hard end as there are wrong labels, so precision is recall"
    )


def accuracy_lines(levels: list[dict[str, Any]]) -> list[list[str]]:
    """Share of labels changed, accuracy on all rows, and the difference of every arm to it, by level.

    `levels` as `thresher.api.noise` returns them. An arm is a score, the end that is pruned and the fraction; its line
    has a dash at a level that did not try it.

    >>> level = {"share_changed": 0.1, "full": {"accuracy": {"mean": 0.9}}, "table": []}
    >>> tried = {"score": "vog", "end": "easy", "fraction": 0.125, "to_full": {"mean": -0.01}}
    >>> accuracy_lines([level, {**level, "table": [tried]}])[2]
    ['12.5% off, vog easy', '–', '-1.00']
    """
    points = [
        {
            (line["score"], line["end"], line["fraction"]): f"{100 * line['to_full']['mean']:+.2f}"
            for line in one["table"]
        }
        for one in levels
    ]
    lines = [
        ["labels changed, %", *(f"{100 * one['share_changed']:.2f}" for one in levels)],
        ["all rows, accuracy %", *(f"{100 * one['full']['accuracy']['mean']:.2f}" for one in levels)],
    ]
    for key in dict.fromkeys(key for one in points for key in one):
        score, end, fraction = key
        name = f"{score} {end}" if score else "random"
        lines.append([f"{100 * fraction:g}% off, {name}", *(one.get(key, ABSENT) for one in points)])
    return lines


def found_lines(levels: list[dict[str, Any]]) -> list[list[str]]:
    """Share of the wrong labels that every score finds, by level, and chance.

    `levels` as `thresher.api.noise` returns them; a dash where a level lacks the score.

    >>> level = {"found": {"aum": {"recall": 0.5}}, "chance": {"precision": 0.1}}
    >>> found_lines([level, {**level, "found": {}}])
    [['aum', '50.0', '–'], ['chance', '10.0', '10.0']]
    """
    lines = [
        [
            name,
            *(
                f"{100 * one['found'][name]['recall']:.1f}" if name in one["found"] else ABSENT
                for one in levels
            ),
        ]
        for name in dict.fromkeys(name for one in levels for name in one["found"])
    ]
    return [*lines, ["chance", *(f"{100 * one['chance']['precision']:.1f}" for one in levels)]]
