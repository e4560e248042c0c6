"""Load labelled texts from any supported source into one checked table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import polars as pl

from thresher.rows import validate
from thresher.rows.classes import classes_of, given_classes, labels_of, with_known_labels
from thresher.rows.given_names import check_names, names_given
from thresher.rows.ids import content_id_column
from thresher.rows.sheets import OR_ELSE, given_ids, read_sheets, selected_rows
from thresher.rows.table import ID, Rows

if TYPE_CHECKING:
    from thresher.rows.sheets import Data


def load(
    source: Data,
    *,
    text: str | Iterable[str] | None,
    label: str,
    id: str | None = None,
    groups: str | Iterable[str] | None = (),
    classes: Sequence[str] | None = None,
    where: str | Iterable[str] = (),
    skip_unseen: bool = False,
) -> Rows:
    """Read and check labelled texts.

    Parameters
    ----------
    source
        a path to a .jsonl, .ndjson, .json, .csv, .tsv or .parquet file (text formats also with .gz or .zst); a folder or
        a glob of such files, read in natural order (part-2 before part-10); a folder saved by `datasets`; a
        `datasets.Dataset`; a pandas or polars frame; an Arrow table.
    text
        the name of the text column, or of two for pairs of texts.
    label
        the name of the label column: strings, integers or booleans (a `datasets` ClassLabel becomes its names).
    id
        the name of an id column; without it, ids are made from the content (`content_ids`).
    groups
        the names of columns to report by (source, domain, ...); a missing value is the empty string.
    classes
        for test rows, the class names of the training rows: other labels are an error.
    where
        conditions on columns, such as "split=train" or "label!=-"; only rows that meet all of them are loaded. A missing
        value equals the empty string.
    skip_unseen
        skip and report the rows whose label is not in `classes`, instead of refusing them.

    Returns
    -------
    Rows
        in input order. Empty texts are kept; the audit counts them.

    Raises
    ------
    UserError
        one line that names file, line or column and the remedy.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder) / "train.csv"
    ...     _ = path.write_text("text,label\\nplay jazz,music\\nstop,music\\nnine am,alarm\\n")
    ...     rows = load(path, text="text", label="label")
    >>> len(rows), rows.classes, rows.labels().tolist()
    (3, ('alarm', 'music'), [1, 1, 0])
    """
    texts, names = names_given(text, "text"), names_given(groups, "groups")
    check_names(texts, label, id, names)
    wanted = (*texts, label, *names, *([id] if id else []))
    or_else = OR_ELSE if classes is None else f"{OR_ELSE}; of test rows, write one split to a file of its own"
    sheets, origin, selected, place = read_sheets(source, wanted, where, "labelled rows", or_else)

    columns = {column: pl.concat([validate.texts(sheet, column) for sheet in sheets]) for column in texts}
    columns[label], kind = labels_of(sheets, label, place)
    columns |= {column: pl.concat([validate.group(sheet, column) for sheet in sheets]) for column in names}
    given = None if id is None else given_ids(sheets, id, place)
    if classes is not None and skip_unseen:
        seen = with_known_labels(columns[label], classes, origin.name)
        columns = {name: column.filter(seen) for name, column in columns.items()}
        given = None if given is None else given.filter(seen)
        selected[selected] = seen.to_numpy()
    if classes is None:
        known = classes_of(columns[label], kind, origin.name)
    else:
        known = given_classes(columns[label], classes, origin.name, place)
    if given is None:
        given = content_id_column(zip(*(columns[column] for column in texts), strict=True), columns[label])
    return Rows(
        table=pl.DataFrame({ID: given, **columns}),
        text=texts,
        label=label,
        groups=names,
        classes=known,
        source=selected_rows(origin, selected),
        integer_labels=kind == "integer",
    )
