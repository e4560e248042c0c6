"""Test rows with the columns and the classes of the training rows; giving a run its test rows, or other ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from thresher.config import DataConfig
from thresher.errors import NoColumn, UserError
from thresher.progress import say, warn
from thresher.rows import Audit, Rows, audit, audit_lines, load, load_texts, overlap_share, save_rows
from thresher.run import Run
from thresher.run.integrity import write_json
from thresher.wording import listed, shown

# A larger share of test rows whose text is also in the training rows is warned of.
MUCH = 0.2


def load_test(test: Any, rows: Rows, data: DataConfig) -> Rows:
    """Test rows with the columns and the classes of the training rows; rows that are loaded already get their classes.

    The source of a training row is often not a column of test rows: missing group or id columns are reported and dropped.
    """
    if isinstance(test, Rows):
        return in_classes_of(rows, test)
    groups, id = rows.groups, data.id
    while True:
        try:
            return _loaded(test, rows, data, id, groups)
        except NoColumn as error:
            if error.column not in (*groups, id):
                raise
            what = "no results are reported by it"
            if error.column == id:
                id, what = None, "their ids are made from their content"
            say(f"test rows have no column '{shown(error.column)}': {what}")
            groups = tuple(name for name in groups if name != error.column)


def _loaded(test: object, rows: Rows, data: DataConfig, id: str | None, groups: tuple[str, ...]) -> Rows:
    if rows.task == "text":
        if data.messages:
            return load_texts(test, messages=data.messages, id=id, groups=groups)
        return load_texts(test, prompt=rows.text[0], completion=rows.text[1], id=id, groups=groups)
    return load(
        test,
        text=rows.text,
        label=rows.label,
        id=id,
        groups=groups,
        classes=rows.classes,
        skip_unseen=data.skip_unseen_labels,
    )


def in_classes_of(rows: Rows, test: Rows) -> Rows:
    """The test rows with their labels numbered, and their columns named, as those of the training rows are.

    Raises UserError: a label that the training rows do not have, another number of text columns, or a group column with the
    name of the training rows' text or label.
    """
    if len(test.text) != len(rows.text):
        raise UserError(
            f"the test rows have the text columns {', '.join(test.text)}, the training rows {', '.join(rows.text)}"
        )
    unseen = sorted(set(test.table[test.label].unique()) - set(rows.classes))
    if unseen:
        raise UserError(
            f"{test.source.name}: {len(unseen)} label{'s' * (len(unseen) > 1)} never seen in the training rows:"
            f" {listed(unseen, 5)}"
        )
    names = dict(zip((*test.text, test.label), (*rows.text, rows.label), strict=True))
    if taken := sorted({new for old, new in names.items() if new != old} & set(test.groups)):
        raise UserError(
            f"the test rows have a group column '{taken[0]}', which is a text or the label of the training rows"
        )
    return replace(
        test, table=test.table.rename(names), text=rows.text, label=rows.label, classes=rows.classes
    )


def set_test(run: Run, rows: Rows, test: Rows, where: str | None) -> Run:
    """Give a run its test rows, or other ones; what was measured on the former ones is out of date by their hash."""
    found = audit(rows, test)
    report_audit(audit_lines(found)[1:], found)
    # A process killed in between leaves a run without test rows, rather than with others than it names.
    run = run.with_manifest(test_hash=None, n_test=0)
    save_rows(test, run.test_file)
    write_json(run.audit_file, dict(found))
    data = run.config.data.model_copy(update={"test": where})
    config = run.config.model_copy(update={"data": data})
    return run.with_manifest(test_hash=test.hash(), n_test=len(test), config=config)


def report_audit(lines: Iterable[str], found: Audit) -> None:
    """Report what an audit found, and warn, even when quiet, of many test texts that also occur in the training rows."""
    for line in lines:
        say(line)
    overlap = overlap_share(found)
    if overlap >= MUCH:
        warn(
            f"{overlap:.0%} of the test texts also occur in the training rows: accuracy on them proves nothing"
        )


def place_of(test: object) -> str | None:
    """The path of test rows, if they were given as a path."""
    return str(test) if isinstance(test, str | Path) else None
