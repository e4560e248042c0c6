"""Annotated rows from a file of any format, and back."""

from __future__ import annotations

import glob
from collections.abc import Iterable
from pathlib import Path

import polars as pl

from thresher.errors import UserError
from thresher.nlu.rows import conll, rasa, rasa_write, records
from thresher.nlu.rows.checked import collect
from thresher.nlu.rows.table import BadRow, Labels, Read, utterances
from thresher.rows.find import FORMATS as COLUMNS
from thresher.rows.find import ending, expanded, natural, refuse_splits
from thresher.rows.where import conditions
from thresher.run.files import write
from thresher.run.outputs import as_place, check_output
from thresher.wording import shown

ENDINGS = {".conll": "conll", ".bio": "conll", ".iob": "conll", ".yml": "rasa", ".yaml": "rasa"}
FORMATS = (*records.FORMATS, "conll", "rasa")


def load_utterances(
    path: str | Path,
    *,
    form: str | None = None,
    skip_bad: bool = False,
    known: Labels | None = None,
    domain: str | None = None,
    where: str | Iterable[str] = (),
) -> Read:
    """Annotated rows from a file, a folder or a glob of files, or a saved dataset.

    Parameters
    ----------
    path
        .jsonl, .csv, .tsv, .parquet (brackets, pipe form, MASSIVE or SLURP, told by the columns), .conll, .bio, .iob, .yml
        (Rasa); text formats also with .gz or .zst.
    form
        the format, where neither ending nor columns tell: one of `FORMATS`.
    skip_bad
        pass over bad rows and list them, instead of refusing the first.
    known
        the labels of the training rows, where these are test rows: rows with others are bad.
    domain
        the domain of rows that name none. In a Rasa file it is that of all rows, whose intents are then taken as they stand;
        without it `domain/intent` names one, and other intents are of the domain "default".
    where
        conditions on columns, such as "partition=train"; only rows that meet all of them are loaded.

    Returns
    -------
    Read
        the table (id, text, domain, intent, slots as character spans, source, rasa), a line per row that was passed over, and
        what a Rasa file has beside examples.

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
    source, filters = expanded(path), conditions(where)
    if form is not None and form not in FORMATS:
        raise UserError(f"format '{form}' is not known; there are {', '.join(FORMATS)}")
    try:
        found, paths = _whole_files(source, form)
        rest = ""
        if found and filters:
            raise UserError(f"{source}: {found} files have no columns; --where is for the other formats")
        if found == "rasa":
            parsed, rest = rasa.read(paths, domain)
        elif found == "conll":
            parsed = conll.read(paths)
        else:
            parsed = records.read(source, form, filters)
        read = collect(parsed, skip_bad=skip_bad, known=known, domain=domain, name=str(source))
    except OSError as error:
        place = shown(error.filename or source, 1000)
        raise UserError(
            f"{place}: cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error
    return read._replace(rest=rest)


def _whole_files(source: Path, form: str | None) -> tuple[str, list[Path]]:
    """The format and the files of a path, if they are of a format without columns; else no format.

    Raises UserError: no such file, or files of several formats.
    """
    if source.is_dir():
        if form not in ("conll", "rasa") and any(ending(path) in COLUMNS for path in source.iterdir()):
            return "", []
        # Rasa reads a folder with all that are in it.
        found = [path for path in source.rglob("*") if ending(path) in ENDINGS and not _hidden(path, source)]
    elif source.is_file() or not glob.has_magic(str(source)):
        found = [source]
    else:
        found = list(map(Path, glob.glob(str(source), recursive=True)))  # noqa: PTH207
    kinds = {form or ENDINGS.get(ending(path), "") for path in found}
    if kinds <= {*records.FORMATS, ""}:
        return "", []
    if len(kinds) > 1:
        raise UserError(f"{source}: files of several formats; give a glob of one, e.g. *.yml")
    paths = sorted((path for path in found if path.is_file()), key=natural)
    if not paths:
        raise UserError(f"{source}: no such file; check the path")
    if next(iter(kinds)) == "rasa" and len(paths) > 1:
        # Stories, rules and domains stand beside the examples.
        paths = [path for path in paths if rasa.has_examples(path)] or paths
    refuse_splits(str(source), paths)
    return next(iter(kinds)), paths


def _hidden(path: Path, folder: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)


def save_utterances(rows: pl.DataFrame, path: str | Path, *, form: str | None = None, rest: str = "") -> None:
    """Write annotated rows in a format; reading them back gives the same rows.

    Rasa's files keep no ids and no order. Nothing is written where a row does not fit the format.

    Parameters
    ----------
    rest
        `Read.rest`, for a Rasa file: what the file that the rows came from has beside examples.

    Raises
    ------
    UserError
        an unknown format or ending, a row that the format cannot hold, or a place that cannot be written or is a run's.
    """
    place = as_place(path)
    check_output(place)
    write_utterances(rows, place, form, rest)


def write_utterances(rows: pl.DataFrame, place: Path, form: str | None = None, rest: str = "") -> None:
    """The same, into a folder of thresher's own."""
    found = form or ENDINGS.get(place.suffix.lower(), "brackets")
    if found not in FORMATS:
        raise UserError(f"format '{found}' is not known; there are {', '.join(FORMATS)}")
    if found not in ("conll", "rasa"):
        write(place, records.write(utterances(rows), found, place))
        return
    try:
        text = conll.write(utterances(rows)) if found == "conll" else rasa_write.write(utterances(rows), rest)
    except BadRow as error:
        raise UserError(f"{place}: {error}; choose another format") from error
    write(place, text)
