"""Write a table of results as CSV, JSON lines or Parquet, chosen by the file extension."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from thresher.errors import UserError
from thresher.run.files import write

# Characters that make a spreadsheet read a cell as a formula, including the full-width forms.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def check_ending(path: Path) -> None:
    """Refuse a file extension that names no supported format.

    >>> check_ending(Path("rows.xls"))
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: rows.xls: tables are written as .csv, .jsonl or .parquet; use one of these extensions
    """
    if path.suffix.lower() not in (".csv", ".jsonl", ".parquet"):
        raise UserError(
            f"{path}: tables are written as .csv, .jsonl or .parquet; use one of these extensions"
        )


def export(table: pl.DataFrame, path: Path) -> None:
    """Write a table; CSV is made safe for spreadsheets by `safe_csv`.

    Raises UserError: the extension is not supported, or the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(pl.DataFrame({"text": ["=1+1", "play"], "value": [-1, 2]}), Path(folder) / "a.csv")
    ...     (Path(folder) / "a.csv").read_text()
    "text,value\\n'=1+1,-1\\nplay,2\\n"
    """
    check_ending(path)
    match path.suffix.lower():
        case ".csv":
            write(path, safe_csv(table))
        case ".jsonl":
            write(path, table.write_ndjson)
        case _:
            write(path, table.write_parquet)


def safe_csv(table: pl.DataFrame) -> str:
    """The table as CSV, with an apostrophe before every text and column name that a spreadsheet would run as a formula.

    Numbers are unchanged. Source: OWASP, "CSV injection".

    >>> print(safe_csv(pl.DataFrame({"text": ["=1+1", "plain"], "score": [-0.5, 2.0]})), end="")
    text,score
    '=1+1,-0.5
    plain,2.0
    """
    safe = table.with_columns(
        pl.when(pl.any_horizontal(pl.col(name).str.starts_with(start) for start in FORMULA_STARTS))
        .then(pl.concat_str(pl.lit("'"), pl.col(name)))
        .otherwise(pl.col(name))
        .alias(name)
        for name, kind in table.schema.items()
        if kind == pl.String
    )
    return safe.rename(
        {name: f"'{name}" for name in safe.columns if name.startswith(FORMULA_STARTS)}
    ).write_csv()
