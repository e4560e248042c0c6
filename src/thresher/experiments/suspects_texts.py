"""The suspects among rows whose target is a text: completions that do not fit their prompts."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl

from thresher.errors import UserError
from thresher.experiments.suspects_length import MOST
from thresher.experiments.suspects_order import ordered
from thresher.progress import say
from thresher.row_hash import hash_ids
from thresher.rows import read_rows
from thresher.rows.export import export
from thresher.run import Run
from thresher.run.integrity import write_json

# The default order: by the larger of a row's two ranks where the run has both, else by the loss.
AUTO, RECORDED = ("ifd", "end_loss"), "loss"
# What is shown of each row.
SHOWN = ("loss", "entropy", "token_accuracy")
UNEXPECTED = 2.0  # nats; from here on the loss of the end is given as a reason


def text_suspects(run: Run, out: Path | None, by: str, top: int | None, format: str) -> pl.DataFrame:
    """The suspects of a recorded language model, with prompt and completion, written to `out` if one is given.

    Raises UserError: a format that needs classes, or an unknown score.
    """
    if format != "table":
        raise UserError(
            f"{format} needs the probabilities of classes, which rows with a text for a target do not have"
        )
    table = run.scores()
    if by == "auto" and not set(AUTO) <= set(table.columns):
        by = RECORDED
    rows = read_rows(run.rows_file)
    found = suspects_table(table, by).head(top or max(1, int(MOST * table.height)))
    texts = rows.table.select("id", *rows.text)
    found = found.join(texts, on="id", how="left", maintain_order="left")
    found = found.select(
        "rank", "id", *rows.text, *(name for name in found.columns[2:] if name not in rows.text)
    )
    if out is not None:
        export(found, out)
    named = f"the larger of the ranks by {' and '.join(AUTO)}" if by == "auto" else by
    facts = {"task": "text", "by": named, "rows": table.height, "listed": found.height}
    write_json(run.suspects_file, {**facts, "score": run.require("score").key})
    say(
        f"suspects: {found.height:,} of {table.height:,} rows, by {named}; how many of them are wrong is not estimated for texts"
    )
    return found


def suspects_table(table: pl.DataFrame, by: str) -> pl.DataFrame:
    """All rows from the hard end of a score on: `rank` (from 1), `id`, the columns of `SHOWN` and `AUTO`, `score` and `why`.

    "auto" orders by misfit, which looks for completions of another prompt and for ends that the model did not expect:

        score = max(rank by IFD, rank by end loss) / N        above 0, at most 1; highest first

    with ranks from 1, the row that fits best, and the mean rank for equal values.

    >>> both = pl.DataFrame({"id": ["a", "b", "c"], "ifd": [0.2, 0.9, 0.4], "end_loss": [0.1, 0.2, 3.0]})
    >>> suspects_table(both, "auto").select("id", "score").rows()[-1]
    ('a', 0.3333333333333333)
    >>> table = pl.DataFrame({"id": ["a", "b"], "loss": [0.5, 4.0], "entropy": [0.5, 1.0], "token_accuracy": [0.9, 0.25]})
    >>> suspects_table(table, "loss")["id"].to_list()
    ['b', 'a']
    """
    score, high = (misfit(table), True) if by == "auto" else ordered(table, by)
    shown = [name for name in (*SHOWN, *AUTO) if name in table.columns]
    found = table.select("id", *shown).with_columns(
        score.alias("score"), pl.Series("tie", hash_ids(table["id"]))
    )
    found = found.sort("score", "tie", descending=[high, False]).drop("tie")
    why = pl.Series("why", reasons(found), dtype=pl.String)
    return found.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("rank"), pl.all()).with_columns(
        why
    )


def misfit(table: pl.DataFrame) -> pl.Series:
    """The larger of a row's ranks by IFD and by end loss, as a share of the rows; (N,)."""
    ranks = (pl.col(name).rank() for name in AUTO)
    return table.select(pl.max_horizontal(*ranks) / pl.len()).to_series()


def reasons(found: pl.DataFrame) -> list[str]:
    """What stands out of each row, in words.

    >>> reasons(pl.DataFrame({"loss": [4.0], "entropy": [1.0], "token_accuracy": [0.25]}))
    ['25% of its tokens were expected; a loss of 4.00 nats per token where the model expected 1.00']
    """
    if not set(SHOWN) <= set(found.columns):
        return [""] * found.height
    return [
        f"{row['token_accuracy']:.0%} of its tokens were expected; a loss of {row['loss']:.2f} nats per token where the model"
        f" expected {row['entropy']:.2f}" + end_of(row.get("end_loss", 0.0))
        for row in found.iter_rows(named=True)
    ]


def end_of(loss: float) -> str:
    """That the end of a completion was not expected, in words; nothing where it was.

    >>> end_of(4.6), end_of(13.7), end_of(0.5)
    ('; its end had a probability of 1.0%', '; its end had a probability below 0.1%', '')
    """
    if loss < UNEXPECTED:
        return ""
    chance = math.exp(-loss)
    return f"; its end had a probability {'below 0.1%' if chance < 0.001 else f'of {chance:.1%}'}"
