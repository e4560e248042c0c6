"""`thresher explain`: the training rows that a prediction comes from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, RunFolder, TableFile, command

if TYPE_CHECKING:
    from thresher.experiments.explain import Explanations

TestRow = Annotated[list[str] | None, typer.Option("--test-row", metavar="ID", help="a test row of the run")]
Row = Annotated[list[str] | None, typer.Option("--row", metavar="ID", help="a training row of the run")]
Text = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="TEXT", help="a text of your own; for pairs give it twice"),
]
Label = Annotated[str | None, typer.Option("--label", metavar="CLASS", help="the class of --text")]
Top = Annotated[int, typer.Option("--top", metavar="N", help="rows to list on each side")]
LayerName = Annotated[
    str,
    typer.Option(
        "--layer", metavar="encoder|classifier", help="take gradients of the last layer of this part"
    ),
]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", min=1, help="processes at a time")]


@command()
def explain(
    run: RunFolder,
    test_row: TestRow = None,
    row: Row = None,
    text: Text = None,
    label: Label = None,
    top: Top = 10,
    layer: LayerName = "encoder",
    out: TableFile = None,
    workers: Workers = None,
) -> Answer:
    """List the training rows that speak for the label of a row (proponents) and against it (opponents)."""
    from thresher.experiments.explain import as_table, explanations
    from thresher.pipeline.own_files import check_table_output
    from thresher.rows.export import export
    from thresher.run import Run

    opened = Run.open(run)
    check_table_output(opened, out)
    found = explanations(
        opened,
        test_rows=test_row or (),
        rows=row or (),
        text=text,
        label=label,
        top=top,
        layer=layer,
        workers=workers,
    )
    if out is not None:
        export(as_table(found), out)
    return Answer(found, lambda: show(found, out))


def show(found: Explanations, out: Path | None) -> None:
    """Print the proponents and opponents of every row."""
    from thresher.wording import shown

    for target in found["targets"]:
        name = "text" if target["of"] == "text" else f"{target['of']} row {target['id']}"
        terminal.line(f"{name} ({target['label']}): {shown(' | '.join(target['text']), 200)}")
        for side, listed in (("proponents", target["proponents"]), ("opponents", target["opponents"])):
            rows = [
                (shown(" | ".join(one["text"]), 80), one["label"], one["id"], f"{one['value']:.3g}")
                for one in listed
            ]
            terminal.table((side, "label", "id", "TracIn"), rows or [("none", "", "", "")])
        terminal.line()
    if out is not None:
        terminal.line(f"table: {out}")
