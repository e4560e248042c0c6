"""The suspects among rows whose target is a text: completions that do not fit their prompts."""

from __future__ import annotations

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

# The default order, and what is shown of each row.
AUTO = "loss"
SHOWN = ("loss", "entropy", "token_accuracy")


def text_suspects(run: Run, out: Path | None, by: str, top: int | None, format: str) -> pl.DataFrame:
    """The suspects of a recorded language model, with prompt and completion, written to `out` if one is given.

    Raises
    ------
    UserError
        a format that needs classes, or an unknown score.
    """
    if format != "table":
        raise UserError(
            f"{format} needs the probabilities of classes, which rows with a text for a target do not have"
        )
    table, by = run.scores(), AUTO if by == "auto" else by
    rows = read_rows(run.rows_file)
    found = suspects_table(table, by).head(top or max(1, int(MOST * table.height)))
    texts = rows.table.select("id", *rows.text)
    found = found.join(texts, on="id", how="left", maintain_order="left")
    found = found.select(
        "rank", "id", *rows.text, *(name for name in found.columns[2:] if name not in rows.text)
    )
    if out is not None:
        export(found, out)
    facts = {"task": "text", "by": by, "rows": table.height, "listed": found.height}
    write_json(run.suspects_file, {**facts, "score": run.require("score").key})
    say(
        f"suspects: {found.height:,} of {table.height:,} rows, by {by}; how many of them are wrong is not estimated for texts"
    )
    return found


def suspects_table(table: pl.DataFrame, by: str) -> pl.DataFrame:
    """All rows from the hard end of a score on: `rank` (from 1), `id`, `loss`, `entropy`, `token_accuracy`, `score` and `why`.

    >>> table = pl.DataFrame({"id": ["a", "b"], "loss": [0.5, 4.0], "entropy": [0.5, 1.0], "token_accuracy": [0.9, 0.25]})
    >>> suspects_table(table, "loss")["id"].to_list()
    ['b', 'a']
    """
    score, high = ordered(table, by)
    shown = [name for name in SHOWN if name in table.columns]
    found = table.select("id", *shown).with_columns(
        score.alias("score"), pl.Series("tie", hash_ids(table["id"]))
    )
    found = found.sort("score", "tie", descending=[high, False]).drop("tie")
    why = pl.Series("why", reasons(found), dtype=pl.String)
    return found.select(pl.int_range(1, pl.len() + 1, dtype=pl.Int64).alias("rank"), pl.all()).with_columns(
        why
    )


def reasons(found: pl.DataFrame) -> list[str]:
    """What stands out of each row, in words.

    >>> reasons(pl.DataFrame({"loss": [4.0], "entropy": [1.0], "token_accuracy": [0.25]}))
    ['25% of its tokens were expected; a loss of 4.00 nats per token where the model expected 1.00']
    """
    if not set(SHOWN) <= set(found.columns):
        return [""] * found.height
    return [
        f"{row['token_accuracy']:.0%} of its tokens were expected; a loss of {row['loss']:.2f} nats per token where the model"
        f" expected {row['entropy']:.2f}"
        for row in found.select(SHOWN).iter_rows(named=True)
    ]
