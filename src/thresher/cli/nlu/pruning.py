"""`thresher nlu score | select`: score and prune the training rows of a stack."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thresher.cli import terminal
from thresher.cli.command import Answer, ConfigFile, Out, Overrides, RunFolder, command, place_option, told
from thresher.cli.nlu.rows import (
    Domain,
    Format,
    OutFile,
    Rows,
    Seed,
    SkipBad,
    Where,
    read,
    read_file,
    without_texts_of,
)
from thresher.cli.nlu.stack import Workers, settings
from thresher.errors import UserError

Prune = Annotated[
    float, typer.Option("--prune", metavar="P", help="share to drop of the rows that may be pruned")
]
By = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="SCORE",
        help="vog_dataset, vog_class, trail_entropy, el2n_slots, ...; several for mixed: vog_dataset,trail_entropy",
    ),
]
Strategy = Annotated[
    str, typer.Option("--strategy", metavar="NAME", help="linear, mixed, cutoff, random, stratified, softmax")
]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="NAME", help="prune rows of this source only")
]
Floor = Annotated[int, typer.Option("--floor", metavar="N", min=0, help="least rows to keep of every domain")]
Protect = Annotated[
    list[str] | None, typer.Option("--protect", metavar="COL=VALUE", help="rows that are never dropped")
]
Without = Annotated[
    list[Path] | None,
    place_option("--without", "FILE", "leave out rows whose text occurs in these test rows"),
]


@command()
def score(
    rows: Rows,
    out: Out,
    joint: Annotated[bool, typer.Option("--joint", help="also score by the intent and slot models")] = False,
    test: Without = None,
    config: ConfigFile = None,
    set: Overrides = None,
    format: Format = None,
    domain: Domain = None,
    where: Where = None,
    skip_bad: SkipBad = False,
    workers: Workers = None,
) -> Answer:
    """Score rows by the domain classifier, or by the intent where there is one domain (a run folder), with slot-trail entropy."""
    used = settings(config, set)
    from thresher.nlu.pruning.score import ROWS, SCORES

    if rows.resolve() in {(out / name).resolve() for name in (ROWS, SCORES)}:
        raise UserError(f"{rows}: is an input and would be overwritten; choose another --out")
    loaded = read_file(rows, format, skip_bad, domain, where)
    table = without_texts_of(loaded.rows, [read(one, None, skip_bad, domain) for one in test or ()])
    from thresher.nlu.pruning.score import score_rows

    found = score_rows(table, out, used, joint=joint, workers=workers, rest=loaded.rest, inputs=[rows])
    names = [name for name, kind in found.schema.items() if kind.is_float()]
    return told(
        {"run": str(out), "rows": found.height, "scores": names},
        f"{found.height:,} rows scored: {', '.join(names)}; next: thresher nlu select {out}",
    )


@command()
def select(
    run: RunFolder,
    out: OutFile,
    prune: Prune = 0.45,
    by: By = "vog_dataset",
    strategy: Strategy = "linear",
    source: Sources = None,
    floor: Floor = 20,
    protect: Protect = None,
    to: Annotated[str | None, typer.Option("--to", metavar="NAME", help="the format to write")] = None,
    seed: Seed = 0,
) -> Answer:
    """Select the training rows to keep, and write them as annotated rows."""
    from thresher.nlu.pruning.choose import choose, removed_by
    from thresher.nlu.pruning.score import inputs_of, read_rest, read_scores
    from thresher.nlu.rows import save_utterances
    from thresher.run.outputs import check_output

    rows, scores = read_scores(run)
    check_output(out, inputs_of(run))
    kept = choose(
        scores,
        by=[name.strip() for name in by.split(",")] if "," in by else by,
        prune=prune,
        strategy=strategy,
        sources=source or (),
        floor=floor,
        protect=protect or (),
        seed=seed,
    )
    save_utterances(rows.filter(kept["kept"]), out, form=to, rest=read_rest(run))
    tables = {column: removed_by(rows, kept, column) for column in ("source", "domain")}
    n_kept = int(kept["kept"].sum())
    by_column = {column: table.to_dicts() for column, table in tables.items()}

    def shown() -> None:
        for column, table in tables.items():
            lines = [
                (name or "-", f"{n:,}", f"{left:,}", f"{gone:.1%}")
                for name, n, left, gone in table.iter_rows()
            ]
            terminal.table((column, "rows", "kept", "removed"), lines)
        terminal.line(f"kept rows ({n_kept:,} of {rows.height:,}): {out}")

    return Answer({"kept": n_kept, "rows": rows.height, "file": str(out), **by_column}, shown)
