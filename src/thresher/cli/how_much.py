"""`thresher how-much`: the largest share of the rows that can go."""

from __future__ import annotations

import typer

from thresher.cli import terminal
from thresher.cli.options import (
    CHOICE,
    FLOOR_GROUP,
    HOW_MUCH,
    SEARCHING,
    Force,
    Json,
    Overrides,
    Quiet,
    RunFolder,
    takes,
)
from thresher.cli.settings import changes
from thresher.wording import interval_text


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command("how-much")(how_much)


@takes(*HOW_MUCH, *SEARCHING, *CHOICE, *FLOOR_GROUP)
def how_much(
    context: typer.Context,
    *,
    run: RunFolder,
    set: Overrides = None,
    force: Force = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find the largest share of the rows that can go, on rows cut from the training rows, and confirm it on the test rows."""
    terminal.start(quiet)
    ours, proof = (
        [text for text in set or () if text.strip().startswith(section)]
        for section in ("how_much.", "compare.")
    )
    rest = [text for text in set or () if text not in (*ours, *proof)]
    settings = changes(run, "how_much", HOW_MUCH, context.params, ours)
    settings |= changes(run, "compare", SEARCHING, context.params, proof)
    settings |= changes(run, "select", (*CHOICE, *FLOOR_GROUP), context.params, rest)
    from thresher import api

    entry = api.how_much(run, force=force, **settings)
    if json:
        terminal.as_json({"run": str(run), **entry})
        return
    from thresher.study.how_much import percent

    head = ("prune", "dropped", "seeds", "points of accuracy to all rows [95%]", "shown")
    lines = [
        (
            f"{one['fraction']:g}",
            percent(one["removed"]),
            str(one["seeds"]),
            interval_text(one),
            one["shown"],
        )
        for one in entry["looks"]
    ]
    terminal.table(head, lines)
    terminal.line(entry["sentence"])
