"""`thresher nlu convert | entropy | synthesise`: annotated rows alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, command, place_argument, place_option, told

if TYPE_CHECKING:
    import polars as pl

    from thresher.nlu.rows import Read

Rows = Annotated[Path, place_argument("ROWS", "annotated rows: .jsonl .csv .tsv .parquet .conll .yml")]
OutFile = Annotated[Path, place_option("--out", "FILE", "the file to write")]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="brackets, pipe, massive, slurp, conll or rasa; else told by the file",
    ),
]
Domain = Annotated[
    str | None,
    typer.Option(
        "--domain", metavar="NAME", help="the domain of rows that name none, and of all rows of a Rasa file"
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="COL=VALUE", help="read only these rows, e.g. partition=train"),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="pass over bad rows and count them")]
Seed = Annotated[int, typer.Option("--seed", metavar="N", min=0)]


def read(
    path: Path, form: str | None, skip_bad: bool, domain: str | None = None, where: list[str] | None = None
) -> pl.DataFrame:
    """Annotated rows; what was passed over is said."""
    return read_file(path, form, skip_bad, domain, where).rows


def read_file(
    path: Path, form: str | None, skip_bad: bool, domain: str | None = None, where: list[str] | None = None
) -> Read:
    """Annotated rows with the rest of their file; what was passed over is said."""
    from thresher.nlu.rows import load_utterances
    from thresher.nlu.rows.checked import skipped_line
    from thresher.progress import warn

    found = load_utterances(path, form=form, skip_bad=skip_bad, domain=domain, where=where or ())
    if found.skipped:
        warn(skipped_line(found.skipped))
    return found


@command()
def convert(
    rows: Rows,
    out: OutFile,
    format: Format = None,
    to: Annotated[str | None, typer.Option("--to", metavar="NAME", help="the format to write")] = None,
    domain: Domain = None,
    where: Where = None,
    skip_bad: SkipBad = False,
) -> Answer:
    """Write annotated rows in another format."""
    from thresher.nlu.rows import save_utterances
    from thresher.run.outputs import check_output

    check_output(out, [rows])
    table, _, rest = read_file(rows, format, skip_bad, domain, where)
    save_utterances(table, out, form=to, rest=rest)
    return told({"rows": table.height, "file": str(out)}, f"{table.height:,} rows: {out}")


@command()
def entropy(
    rows: Rows,
    format: Format = None,
    domain: Domain = None,
    where: Where = None,
    skip_bad: SkipBad = False,
) -> Answer:
    """Intent entropy and slot-trail entropy of every domain, in bits."""
    from thresher.nlu.entropy import domain_entropy

    found = domain_entropy(read(rows, format, skip_bad, domain, where))
    head = ("domain", "rows", "intents", "intent entropy", "slot-trail entropy", "mean over intents")
    lines = [(name, f"{n:,}", str(k), *(f"{h:.2f}" for h in bits)) for name, n, k, *bits in found.iter_rows()]
    return Answer(found.to_dicts(), lambda: terminal.table(head, lines))


@command()
def synthesise(
    rows: Rows,
    out: OutFile,
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=1, max=1_000_000, help="synthetic rows to add")
    ],
    format: Format = None,
    domain: Domain = None,
    where: Where = None,
    seed: Seed = 0,
    skip_bad: SkipBad = False,
) -> Answer:
    """Add synthetic rows: training rows with their slot values swapped, of source "synthetic"."""
    import polars as pl

    from thresher.nlu.pruning.synthetic import swapped
    from thresher.nlu.rows import save_utterances
    from thresher.run.outputs import check_output

    check_output(out, [rows])
    table = read(rows, format, skip_bad, domain, where)
    named = table.with_columns(source=pl.col("source").replace("", "historical"))
    save_utterances(pl.concat([named, swapped(table, count, seed)]), out)
    facts = {"rows": table.height + count, "file": str(out)}
    return told(facts, f"{table.height:,} + {count:,} rows: {out}")


def without_texts_of(rows: pl.DataFrame, tests: list[pl.DataFrame]) -> pl.DataFrame:
    """Training rows whose text does not occur in test rows."""
    from thresher.nlu.study.run import without_test_texts
    from thresher.progress import say

    left = without_test_texts(rows, tests)
    if left.height < rows.height:
        say(
            f"{rows.height - left.height:,} of {rows.height:,} training rows are left out: their text occurs in the test rows"
        )
    return left
