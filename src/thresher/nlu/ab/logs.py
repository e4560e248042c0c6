"""The log of one arm of an A/B test, checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl

from thresher.errors import UserError
from thresher.run import parquet
from thresher.wording import did_you_mean, listed, shown

NEEDED = ("user", "time", "domain_confidence", "recovered", "defect")
KEY = "utterance"  # defines the tail of the traffic; optional
YEARS = (-62_135_596_800, 253_402_300_799)  # the years 1 to 9999, in seconds since 1970
# Types are not inferred from the first rows: a confidence of 1 is a float, and user 007 is not user 7.
READERS: dict[str, Callable[[Path], pl.DataFrame]] = {
    ".parquet": parquet.read,
    # Read as bytes, because polars takes brackets in a path for a pattern.
    ".jsonl": lambda path: pl.read_ndjson(path.read_bytes(), infer_schema_length=None),
    ".csv": lambda path: pl.read_csv(path, infer_schema=False, glob=False),
}


def read_log(path: str | Path) -> pl.DataFrame:
    """One row per request: `user, time, domain_confidence, recovered, defect`, and `utterance` where the log has it.

    `domain_confidence` (0 to 1) is that of the domain that answered, null if none did; `recovered` is true where the
    user got what was asked for, at once or after rephrasing; `defect` (0 to 1) is the probability that the answer was a
    defect, by a model over the response and the user's signals. `time` is a date with time, ISO text, or seconds since 1970.

    Raises
    ------
    UserError
        no such file, a missing column, no rows, or a value outside its range, with its row.
    """
    place = Path(path)
    if not place.is_file():
        raise UserError(f"{place}: no such file; give the log of one arm as .parquet, .jsonl or .csv")
    if place.suffix not in READERS:
        raise UserError(f"{place}: logs are read from {listed(READERS)}")
    try:
        log = READERS[place.suffix](place)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{place}: cannot be read ({shown(error, 120)})") from error
    return checked(log, str(place))


def checked(log: pl.DataFrame, where: str) -> pl.DataFrame:
    """The needed columns with their types; see `read_log`."""
    for name in NEEDED:
        if name not in log.columns:
            near = did_you_mean(name, log.columns) or f"; it has {listed(log.columns)}"
            raise UserError(f"{where}: no column '{name}'{near}")
    if not log.height:
        raise UserError(f"{where}: no requests in it")
    for name, kind in log.schema.items():
        if name in (*NEEDED, KEY) and kind.is_nested():
            raise UserError(f"{where}: column '{name}' holds lists or objects; give one value a row")
    keys = [pl.col(KEY).cast(pl.String)] if KEY in log.columns else []
    try:
        table = log.select(
            pl.col("user").cast(pl.String),
            _time(log.schema["time"]),
            _number("domain_confidence", log.schema),
            _truth(log.schema["recovered"]),
            _number("defect", log.schema),
            *keys,
        )
    except pl.exceptions.PolarsError as error:
        raise UserError(f"{where}: a column has values of the wrong type ({shown(error, 120)})") from error
    for name in ("user", "time", "recovered", "defect"):
        form = " that is a date, ISO text or seconds since 1970" if name == "time" else ""
        _refuse(table[name].is_null(), where, f"no {name}{form}")
    for name in ("domain_confidence", "defect"):
        _refuse(~table[name].fill_null(0.0).is_between(0, 1), where, f"{name} is not between 0 and 1")
    return table


def _time(dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.String:
        seconds = pl.col("time").str.strip_chars().cast(pl.Float64, strict=False)
        text = pl.col("time").str.to_datetime(time_unit="us", time_zone="UTC", strict=False)
        return pl.when(seconds.is_null()).then(text).otherwise(_moment(seconds)).alias("time")
    if dtype.is_numeric():
        return _moment(pl.col("time").cast(pl.Float64)).alias("time")
    time = pl.col("time").cast(pl.Datetime("us", getattr(dtype, "time_zone", None)))
    return (
        time.dt.convert_time_zone("UTC")
        if getattr(dtype, "time_zone", None)
        else time.dt.replace_time_zone("UTC")
    )


def _moment(seconds: pl.Expr) -> pl.Expr:
    """A time from seconds since 1970; null outside the years 1 to 9999, as for milliseconds."""
    inside = pl.when(seconds.is_between(*YEARS)).then(seconds)
    return pl.from_epoch((inside * 1_000_000).cast(pl.Int64), "us").dt.replace_time_zone("UTC")


def _number(name: str, schema: pl.Schema) -> pl.Expr:
    found = pl.col(name).str.strip_chars() if schema[name] == pl.String else pl.col(name)
    return found.cast(pl.Float64)


def _truth(dtype: pl.DataType) -> pl.Expr:
    if dtype == pl.String:
        words = {"true": True, "false": False, "1": True, "0": False}
        return (
            pl.col("recovered")
            .str.to_lowercase()
            .replace_strict(words, default=None, return_dtype=pl.Boolean)
        )
    return pl.col("recovered").cast(pl.Boolean)


def _refuse(bad: pl.Series, where: str, problem: str) -> None:
    if bad.any():
        raise UserError(f"{where} row {bad.arg_max() + 1}: {problem}; correct or remove it")  # type: ignore[operator]
