"""`thresher sweep`: which score, which end, how far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, Force, Overrides, RunFolder, command
from thresher.cli.options import FLOOR_GROUP, KEEP, SWEEP
from thresher.cli.settings import options_of


@command(*SWEEP, *KEEP, *FLOOR_GROUP)
def sweep(
    context: typer.Context,
    *,
    run: RunFolder,
    set: Overrides = None,
    force: Force = False,
) -> Answer:
    """Compare every score, from either end, at several fractions, with all rows and random rows."""
    from thresher import api
    from thresher.run import Run

    opened = Run.open(run)
    sections = {"sweep": SWEEP, "select": (*KEEP, *FLOOR_GROUP)}
    _, named = options_of(opened.config, sections, context.params, set)
    entry = api.sweep(opened, force=force, **named["sweep"], **named["select"]).to_dict()
    return Answer({"run": str(run), **entry}, lambda: show(entry))


def show(entry: dict[str, Any]) -> None:
    """Print the table of a sweep, and that of every other model."""
    for model, found in [("", entry), *entry.get("models", {}).items()]:
        if model:
            terminal.line(f"the same rows, model: {model}")
        terminal.table(*difference_table(found))
        metric, scale, digits, what = form_of(found)
        full, all_rows = found["full"], found["full"][metric]
        terminal.line(
            f"{what} to all rows ({scale * all_rows['mean']:.{digits}f} ± {scale * all_rows['std']:.{digits}f},"
            f" {full['seeds']} seeds); + or - the 95% interval is all better or worse than random rows, as some of many are by"
            " chance"
        )


def form_of(entry: dict[str, Any]) -> tuple[str, int, int, str]:
    """What a sweep compares by, times what it is shown, with how many digits, and its name."""
    if entry["metric"] == "loss":
        return "loss", 1, 3, "nats of loss per token"
    return "accuracy", 100, 2, "points of accuracy"


def difference_table(entry: dict[str, Any]) -> tuple[Sequence[str], list[list[str]]]:
    """Head and lines of the table: one line per arm, one column per fraction, the difference to full data."""
    from thresher.selection.request import removed

    metric, scale, digits, _ = form_of(entry)

    fractions = sorted({line["fraction"] for line in entry["table"]})
    cells: dict[str, dict[float, str]] = {}
    for line in entry["table"]:
        score = line["score"] and line["score"] + (
            "" if line["normalise"] == "raw" else f"_{line['normalise']}"
        )
        options = "".join(f":{name}={value:g}" for name, value in line["options"].items())
        steps = " (same steps)" if line["same_steps"] else ""
        name = (
            " ".join([score, line["end"], line["strategy"]] if score else [line["strategy"]])
            + options
            + steps
        )
        above, below = line["to_random"]["low"] > 0, line["to_random"]["high"] < 0
        better, worse = (below, above) if metric == "loss" else (above, below)
        mark = ("+" if better else "-" if worse else "") if score else ""
        went = removed(line["fraction"], line["n"], entry["full"]["n"])
        less = f" at {100 * went:.3g}%" if went != line["fraction"] else ""
        cells.setdefault(name, {})[line["fraction"]] = (
            f"{scale * line['to_full']['mean']:+.{digits}f}{mark}{less}"
        )
    head = ("pruned by", *(f"{100 * fraction:g}%" for fraction in fractions))
    return head, [
        [name, *(found.get(fraction, "") for fraction in fractions)] for name, found in cells.items()
    ]
