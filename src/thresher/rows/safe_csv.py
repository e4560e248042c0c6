"""CSV that a spreadsheet may open: text from the data is never taken for a formula."""

from __future__ import annotations

import polars as pl

# What spreadsheets take for the start of a formula, the full-width forms of other keyboards included.
STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def safe_csv(table: pl.DataFrame) -> str:
    """The table as CSV, with an apostrophe before every text, and name of a column, that could start a formula.

    Numbers are written as they are. Source: OWASP, "CSV injection".

    >>> print(safe_csv(pl.DataFrame({"text": ["=1+1", "plain"], "score": [-0.5, 2.0]})), end="")
    text,score
    '=1+1,-0.5
    plain,2.0
    """
    safe = table.with_columns(
        pl.when(pl.any_horizontal(pl.col(name).str.starts_with(start) for start in STARTS))
        .then(pl.concat_str(pl.lit("'"), pl.col(name)))
        .otherwise(pl.col(name))
        .alias(name)
        for name, kind in table.schema.items()
        if kind == pl.String
    )
    return safe.rename({name: f"'{name}" for name in safe.columns if name.startswith(STARTS)}).write_csv()
