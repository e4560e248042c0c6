"""The loss of each completion token of some rows, with the prompt and without it."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from thresher.errors import UserError
from thresher.experiments.rows_by_id import rows_by_id
from thresher.run import Run, parquet
from thresher.run.integrity import check_table


def tokens_of(run: Run, rows: str | Sequence[str]) -> pl.DataFrame:
    """What `thresher.tokens` returns.

    Raises UserError: an unknown id, no row, rows with classes, or a run without losses of tokens.
    """
    run.require("measure")
    if run.manifest.task != "text":
        raise UserError(
            f"{run}: its rows have labels; losses of tokens are of rows with a prompt and a completion"
        )
    found = rows_by_id(run, "train", rows)
    if not found:
        raise UserError("no row given; give the id of a row, --row ID")
    file = run.token_losses_file
    if run.manifest.source == "recorded":
        raise UserError(
            f"{file}: was not written; a recorded training has no losses of tokens, `thresher run` measures them"
        )
    check_table(file, f"`thresher measure {run} --force` makes it again")
    losses = parquet.scan([file]).filter(pl.col("id").is_in([row["id"] for row in found])).collect()
    completions = {"id": [row["id"] for row in found], "completion": [row["text"][1] for row in found]}
    return token_table(pl.DataFrame(completions), losses)


def token_table(completions: pl.DataFrame, losses: pl.DataFrame) -> pl.DataFrame:
    """One line per completion token, row after row: id, place (from 1), token, loss, loss_alone.

    A token is the piece of the completion that it adds; the end token adds none, nor does a part of a character but its last.

    >>> completions = pl.DataFrame({"id": ["a"], "completion": ["set alarm"]})
    >>> losses = pl.DataFrame({"id": ["a"], "loss": [[2.0, 0.5, 0.1]], "loss_alone": [[4.0, 3.0, 0.1]], "end": [[3, 9, 9]]})
    >>> token_table(completions, losses)["token"].to_list()
    ['set', ' alarm', '']
    """
    lines = completions.join(losses, on="id", how="left", maintain_order="left")
    lines = lines.explode("loss", "loss_alone", "end")
    before = pl.col("end").shift(1, fill_value=0).over("id")
    lines = lines.with_columns(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("id").alias("place"),
        pl.col("completion").str.slice(before, pl.col("end") - before).alias("token"),
    )
    return lines.select("id", "place", "token", "loss", "loss_alone")
