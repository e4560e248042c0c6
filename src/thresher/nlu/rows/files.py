"""Annotated rows from a file of any format, and back."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from thresher.errors import UserError
from thresher.nlu.rows import conll, rasa, records
from thresher.nlu.rows.table import BadRow, Labels, Read, collect, utterances
from thresher.run.files import write
from thresher.run.outputs import as_place, check_output

ENDINGS = {".conll": "conll", ".bio": "conll", ".iob": "conll", ".yml": "rasa", ".yaml": "rasa"}
FORMATS = (*records.FORMATS, "conll", "rasa")
_WHOLE_FILE = {"conll": conll, "rasa": rasa}


def load_utterances(
    path: str | Path, *, form: str | None = None, skip_bad: bool = False, known: Labels | None = None
) -> Read:
    """Annotated rows from a file, a folder of shards, or a saved dataset.

    Parameters
    ----------
    path
        .jsonl, .csv, .tsv, .parquet (brackets, pipe form, MASSIVE or SLURP, told by the columns), .conll, .yml (Rasa).
    form
        the format, where neither ending nor columns tell: one of `FORMATS`.
    skip_bad
        pass over bad rows and list them, instead of refusing the first.
    known
        the labels of the training rows, where these are test rows: rows with others are bad.

    Returns
    -------
    Read
        the table (id, text, domain, intent, slots as character spans, source) and a line per row that was passed over.

    Raises
    ------
    UserError
        no such file, an unknown format, or a bad row with its file and line.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "train.jsonl"
    ...     line = '{"annotated": "wake me at [time : nine am]", "domain": "alarm", "intent": "set"}'
    ...     _ = file.write_text(line)
    ...     load_utterances(file).rows["slots"].to_list()
    [[{'start': 11, 'end': 18, 'label': 'time'}]]
    """
    source = Path(path).expanduser()
    found = form or ENDINGS.get(source.suffix.lower())
    if found is not None and found not in FORMATS:
        raise UserError(f"format '{found}' is not known; there are {', '.join(FORMATS)}")
    if found in _WHOLE_FILE:
        if not source.is_file():
            raise UserError(f"{source}: no such file; check the path")
        return collect(_WHOLE_FILE[found].read(source), skip_bad=skip_bad, known=known, name=str(source))
    _, parsed = records.read(source, found)
    return collect(parsed, skip_bad=skip_bad, known=known, name=str(source))


def save_utterances(rows: pl.DataFrame, path: str | Path, *, form: str | None = None) -> None:
    """Write annotated rows in a format; reading them back gives the same rows.

    Rasa's files keep no ids and no order. Nothing is written where a row does not fit the format.

    Raises
    ------
    UserError
        an unknown format or ending, a row that the format cannot hold, or a place that cannot be written or is a run's.
    """
    place = as_place(path)
    check_output(place)
    write_utterances(rows, place, form)


def write_utterances(rows: pl.DataFrame, place: Path, form: str | None = None) -> None:
    """The same, into a folder of thresher's own."""
    found = form or ENDINGS.get(place.suffix.lower(), "brackets")
    if found not in FORMATS:
        raise UserError(f"format '{found}' is not known; there are {', '.join(FORMATS)}")
    if found in _WHOLE_FILE:
        try:
            text = _WHOLE_FILE[found].write(utterances(rows))
        except BadRow as error:
            raise UserError(f"{place}: {error}; choose another format") from error
        write(place, text)
        return
    write(place, records.write(utterances(rows), found, place))
