"""`thresher map`: a map of the rows."""

from __future__ import annotations

from typing import Annotated

import typer

from thresher.cli.command import Answer, Force, RunFolder, command, told

Rows = Annotated[int, typer.Option("--rows", metavar="N", help="most rows to draw")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="of the draw and of the map")]


@command()
def map(
    run: RunFolder,
    rows: Rows = 3000,
    seed: Seed = 0,
    force: Force = False,
) -> Answer:
    """Map the rows to a plane by the meaning of their texts, for the report."""
    from thresher import api
    from thresher.run import Run

    opened = Run.open(run)
    found = api.map_rows(opened, rows=rows, seed=seed, force=force)
    facts = {"run": str(run), "map": str(opened.map_file), "n_rows": found.height}
    return told(facts, f"map ({found.height:,} rows): {opened.map_file}")
