"""Tables of scores that other tools write: CSV and JSON lines, also without ids."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import polars as pl

from thresher.errors import UserError
from thresher.progress import say
from thresher.rows.find import ending
from thresher.rows.read import delimited
from thresher.rows.read.raw import content
from thresher.run.files import write
from thresher.wording import listed, shown

TABLES = (".csv", ".tsv", ".jsonl", ".ndjson")
# Tried in this order where no score is named.
DEFAULT_SCORES = ("held_out_margin", "aum", "vog_class", "vog", "el2n_mean", "el2n", "confidence", "loss")
INTEGER = r"^-?(0|[1-9][0-9]{0,14})$"
NUMBER = r"^(-?(0|[1-9][0-9]{0,14}|0?\.[0-9]+|[1-9][0-9]{0,14}\.[0-9]*)([eE][+-]?[0-9]+)?|-?(?i:inf|nan))$"
ROW_NUMBERS = ("row", "row_number", "thresher_row")


def as_parquet(source: str | Path, id: str, folder: Path) -> tuple[str | Path, str]:
    """A table of scores as Parquet with an id column: the source itself where it is that; and the name of the id column.

    A table without a column "id", where no other is named, gets row numbers from 0, as a pandas index has them.

    Raises UserError: a file that cannot be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     file = Path(place) / "issues.csv"
    ...     _ = file.write_text("label_quality\\n0.9\\n0.1\\n")
    ...     made, id = as_parquet(file, "id", Path(place))
    ...     id, pl.read_parquet(made).rows()
    ('row', [(0, 0.9), (1, 0.1)])
    """
    path = Path(source)
    if not path.is_file():
        return source, id
    table = _read(path).lazy() if ending(path) in TABLES else pl.scan_parquet(path, glob=False)
    try:
        names = table.collect_schema().names()
    except (pl.exceptions.PolarsError, OSError):
        return source, id  # told by the reader
    if id == "id" and id not in names:
        id = next(name for name in ROW_NUMBERS if name not in names)
        say(f"{path}: no column 'id'; rows are named by their number from 0, in column '{id}'")
        table = table.with_row_index(id)
    elif ending(path) not in TABLES:
        return source, id
    made = folder / "scores.parquet"
    table.sink_parquet(made)
    return made, id


def _read(path: Path) -> pl.DataFrame:
    raw, name = content(path.read_bytes(), str(path)), str(path)
    try:
        if ending(path) in (".jsonl", ".ndjson"):
            return pl.read_ndjson(raw, infer_schema_length=None)
        separator = delimited.separator(raw, name, "\t" if ending(path) == ".tsv" else ",")
        table = pl.read_csv(raw, separator=separator, infer_schema=False)
        if table.is_empty():
            raise UserError(f"{path}: no rows below the header; give a table of scores")
        return table.select(_as_numbers(column) for column in table)
    except pl.exceptions.PolarsError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: not a readable table ({shown(reason, 120)}); write it again") from error


def _as_numbers(texts: pl.Series) -> pl.Series:
    """A column of a sheet as numbers, where all its texts are numbers that can be written back; 007 stays a text.

    >>> [_as_numbers(pl.Series(texts)).to_list() for texts in (["1", None, "2"], ["0.5", "nan"], ["007", "1"], ["True"])]
    [[1, None, 2], [0.5, nan], ['007', '1'], ['True']]
    """
    given = texts.drop_nulls()
    if given.is_empty() or not given.str.contains(NUMBER).all():
        return texts
    return texts.cast(pl.Int64 if given.str.contains(INTEGER).all() else pl.Float64)


def write_kept(kept: Path, out: Path) -> None:
    """Write the kept rows, which stand in a Parquet file, in the format of `out`."""
    table = pl.read_parquet(kept, glob=False)
    try:
        if ending(out) in (".jsonl", ".ndjson"):
            write(out, table.write_ndjson)
        else:
            separator = "\t" if ending(out) == ".tsv" else ","
            write(out, lambda place: table.write_csv(place, separator=separator))
    except pl.exceptions.PolarsError as error:
        raise UserError(
            f"{out}: cannot be written ({shown(error, 120)}); give --out a .parquet file"
        ) from error


def default_selection(strategy: str | None, columns: Collection[str]) -> dict[str, str]:
    """The settings of a selection from a table for which no score was named.

    With no strategy either: the recommended rule, if the table has the columns that it reads (those of thresher do). For a
    strategy that reads any score: the first of `DEFAULT_SCORES` in the table.

    Raises
    ------
    UserError
        the table has none of them.

    >>> default_selection(None, ["label", "aum", "correctness"]), default_selection(None, ["guid", "confidence"])
    ({'strategy': 'recommended', 'stratify': 'label'}, {'by': 'confidence'})
    >>> default_selection("random", ["guid", "confidence"]), default_selection("softmax", ["el2n", "aum"])
    ({}, {'by': 'aum'})
    """
    from thresher.selection import find

    reads = [names.split("|") for names in find("recommended").by]
    if strategy is None and "label" in columns and all(set(names) & set(columns) for names in reads):
        return {"strategy": "recommended", "stratify": "label"}
    if strategy is not None and (find(strategy).by or not find(strategy).reads_score):
        return {}
    score = next((name for name in DEFAULT_SCORES if name in columns), None)
    if score is None:
        raise UserError(f"which score to select by is not known; give --by COLUMN, one of {listed(columns)}")
    return {"by": score}
