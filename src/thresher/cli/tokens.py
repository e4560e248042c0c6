"""`thresher tokens`: the loss of each completion token of some rows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, RunFolder, TableFile, command

if TYPE_CHECKING:
    import polars as pl

Row = Annotated[
    list[str] | None, typer.Option("--row", metavar="ID", help="a training row of the run; may be repeated")
]


@command()
def tokens(run: RunFolder, row: Row = None, out: TableFile = None) -> Answer:
    """Show the loss of each completion token of some rows, with the prompt and without it."""
    from thresher.experiments.tokens import tokens_of
    from thresher.pipeline.own_files import check_table_output
    from thresher.rows.export import export
    from thresher.run import Run

    opened = Run.open(run)
    check_table_output(opened, out)
    found = tokens_of(opened, row or ())
    if out is not None:
        export(found, out)
    return Answer({"run": str(opened), "tokens": found.to_dicts()}, lambda: show(found, out))


def show(found: pl.DataFrame, out: Path | None) -> None:
    """Print the losses of the tokens, row by row."""
    import polars as pl

    from thresher.wording import shown

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
