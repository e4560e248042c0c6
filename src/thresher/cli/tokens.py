"""`thresher tokens`: the loss of each completion token of some rows."""

from __future__ import annotations

from typing import Annotated

import typer

from thresher.cli import terminal
from thresher.cli.options import Json, Quiet, RunFolder, TableFile

Row = Annotated[
    list[str] | None, typer.Option("--row", metavar="ID", help="a training row of the run; may be repeated")
]


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    app.command()(tokens)


def tokens(
    run: RunFolder, row: Row = None, out: TableFile = None, json: Json = False, quiet: Quiet = False
) -> None:
    """Show the loss of each completion token of some rows, with the prompt and without it."""
    terminal.start(quiet)
    import polars as pl

    from thresher.experiments.tokens import tokens_of
    from thresher.pipeline.own_files import check_table_output
    from thresher.rows.export import export
    from thresher.run import Run
    from thresher.wording import shown

    opened = Run.open(run)
    check_table_output(opened, out)
    found = tokens_of(opened, row or ())
    if out is not None:
        export(found, out)
    if json:
        terminal.as_json({"run": str(opened), "tokens": found.to_dicts()})
        return
    for lines in found.partition_by("id", maintain_order=True):
        mean = lines.select(pl.col("loss").mean()).item()
        terminal.line(f"row {shown(lines['id'][0])}: {mean:.3f} nats per token")
        terminal.table(
            ("token", "loss", "without prompt"),
            [
                (shown(token or "", 40) or "(end)", f"{loss:.3f}", f"{alone:.3f}")
                for token, loss, alone in lines.select("token", "loss", "loss_alone").iter_rows()
            ],
        )
        terminal.line()
    if out is not None:
        terminal.line(f"table: {out}")
