"""`thresher how-much`: the largest share of the rows that can be dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, Force, Overrides, RunFolder, command
from thresher.cli.options import CHOICE, FLOOR_GROUP, HOW_MUCH, SEARCHING
from thresher.cli.settings import options_of
from thresher.wording import interval_text, nats, rise

if TYPE_CHECKING:
    from thresher.results import LargestShare


@command(*HOW_MUCH, *SEARCHING, *CHOICE, *FLOOR_GROUP)
def how_much(
    context: typer.Context,
    *,
    run: RunFolder,
    set: Overrides = None,
    force: Force = False,
) -> Answer:
    """Find the largest share of the rows that can be dropped, on held-out training rows, and confirm it on the test rows."""
    from thresher import api
    from thresher.run import Run

    opened = Run.open(run)
    sections = {"how_much": HOW_MUCH, "compare": SEARCHING, "select": (*CHOICE, *FLOOR_GROUP)}
    _, named = options_of(opened.config, sections, context.params, set)
    entry = api.how_much(opened, force=force, **named["how_much"], **named["compare"], **named["select"])
    return Answer({"run": str(run), **entry.to_dict()}, lambda: show(entry))


def show(entry: LargestShare) -> None:
    """Print every look of a search and what it found."""
    from thresher.experiments.share_search import percent

    of_texts = entry.metric == "loss"
    what = "nats of loss per token" if of_texts else "points of accuracy"
    head = ("prune", "dropped", "seeds", f"{what} to all rows [95%]", "shown")
    lines = [
        (
            f"{one['fraction']:g}",
            percent(one["removed"]),
            str(one["seeds"]),
            nats(rise(one)) if of_texts else interval_text(one),
            one["shown"],
        )
        for one in entry.looks
    ]
    terminal.table(head, lines)
    terminal.line(entry.sentence)
