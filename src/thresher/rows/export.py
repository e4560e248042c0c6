"""A table of results for people and other tools: CSV, JSON lines or Parquet, by the ending of the file."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from thresher.errors import UserError
from thresher.rows.safe_csv import safe_csv
from thresher.run.files import write


def check_ending(path: Path) -> None:
    """Refuse a file whose ending says no format, before anything is computed.

    >>> check_ending(Path("rows.xls"))
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: rows.xls: tables are written as .csv, .jsonl or .parquet; choose one of these endings
    """
    if path.suffix.lower() not in (".csv", ".jsonl", ".parquet"):
        raise UserError(
            f"{path}: tables are written as .csv, .jsonl or .parquet; choose one of these endings"
        )


def export(table: pl.DataFrame, path: Path) -> None:
    """Write a table; in CSV a text that a spreadsheet would run as a formula gets an apostrophe before it.

    Raises
    ------
    UserError
        another ending, or a place that cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export(pl.DataFrame({"text": ["=1+1", "play"], "value": [-1, 2]}), Path(folder) / "a.csv")
    ...     (Path(folder) / "a.csv").read_text()
    "text,value\\n'=1+1,-1\\nplay,2\\n"
    """
    check_ending(path)
    ending = path.suffix.lower()
    if ending == ".csv":
        write(path, safe_csv(table))
    elif ending == ".jsonl":
        write(path, table.write_ndjson)
    else:
        write(path, table.write_parquet)
