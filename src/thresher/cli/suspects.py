"""`thresher suspects`: the rows that are probably mislabelled."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thresher.cli.command import Answer, RunFolder, command, place_option, told

SuspectsFile = Annotated[Path, place_option("--out", "FILE", "a .csv, .jsonl, .parquet or .npz file")]
By = Annotated[
    str,
    typer.Option(
        "--by",
        metavar="SCORE",
        help="the score whose hard end comes first; auto: the mean of the ranks by aum and word_margin, or aum;"
        " for completions the larger of the ranks by ifd and end_loss, or loss",
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        "--top",
        metavar="N",
        help="list at most N rows, instead of as many as an estimate of the wrong labels says",
    ),
]
Format = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="table|argilla|datalab",
        help="argilla: records for Argilla; datalab: labels and probabilities of all rows for cleanlab's Datalab",
    ),
]


@command()
def suspects(
    run: RunFolder,
    out: SuspectsFile,
    by: By = "auto",
    top: Top = None,
    format: Format = "table",
) -> Answer:
    """List the rows that are most likely mislabelled: given and likely label, and why."""
    from thresher import api

    listed = api.suspects(run, out=out, by=by, top=top, format=format)
    known = "p_wrong" in listed.columns and not listed["p_wrong"].null_count()
    expected = float(listed["p_wrong"].sum()) if known else None
    facts = {"run": str(run), "suspects": str(out), "n_suspects": listed.height, "expected_wrong": expected}
    return told({**facts, "by": by}, f"suspects ({listed.height:,} rows to look at): {out}")
