"""Reading Parquet files by path: brackets and stars in a path are not a pattern."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl


def read(path: Path | list[Path], columns: Sequence[str] | None = None) -> pl.DataFrame:
    """The table of a file, or of several under each other."""
    # Read by way of Arrow, the same table would hold half as much memory again.
    return pl.read_parquet(path, columns=None if columns is None else list(columns), glob=False)


def scan(path: Path | list[Path]) -> pl.LazyFrame:
    """The same, read when it is collected."""
    return pl.scan_parquet(path, glob=False)
