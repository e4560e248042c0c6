"""Decide the classes of rows from their labels, or check the labels against given classes."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence

import polars as pl

from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import validate
from thresher.rows.read.sheet import Sheet
from thresher.wording import did_you_mean, listed, shown

Places = Callable[[int], str]  # from the number of a row to its location, for messages


def labels_of(sheets: list[Sheet], column: str, place: Places) -> tuple[pl.Series, validate.LabelKind]:
    found = [validate.labels(sheet, column) for sheet in sheets]
    kind = found[0][1]
    for sheet, (_, other) in zip(sheets, found, strict=True):
        if other != kind:
            raise UserError(
                f"{sheet.place(0)}: the labels (column '{shown(column)}') are {other}s here and {kind}s in"
                f" {sheets[0].name}; write all labels as one type"
            )
    labels = pl.concat([series for series, _ in found])
    if kind == "untyped":
        distinct = set(labels.unique().to_list())
        if all(validate.WHOLE.fullmatch(one) or validate.INTEGER.fullmatch(one) for one in distinct):
            labels = labels.str.replace(r"\.0+$", "")
            distinct = set(labels.unique().to_list())
        kind, decimal = validate.untyped_kind(distinct)
        if decimal is not None:
            raise UserError(
                f"{place(labels.to_list().index(decimal))}: label {decimal} (column '{shown(column)}') is a decimal"
                " number; labels are strings or integers"
            )
    return labels, kind


def classes_of(labels: pl.Series, kind: validate.LabelKind, name: str) -> tuple[str, ...]:
    """The class names, sorted (integers as numbers)."""
    found = labels.unique().to_list()
    if len(found) == 1:
        raise UserError(
            f"{name}: every label is '{shown(found[0])}' (column '{shown(labels.name)}'); a classifier needs two"
        )
    if len(found) == len(labels):
        raise UserError(
            f"{name}: each of the {len(found):,} rows has a different label (column '{shown(labels.name)}'), like an id"
            " or a regression target; name the column with the classes"
        )
    return tuple(sorted(found, key=int if kind == "integer" else None))


def given_classes(labels: pl.Series, given: Sequence[str], name: str, place: Places) -> tuple[str, ...]:
    """The given class names; labels that are not among them are refused."""
    known = tuple(map(str, given))
    if len(set(known)) < len(known):
        twice = next(one for one in known if known.count(one) > 1)
        raise UserError(f"{name}: class '{shown(twice)}' is given twice in classes; name it once")
    unseen = sorted(set(labels.unique().to_list()) - set(known))
    if unseen:
        first = labels.is_in(unseen).arg_max() or 0
        near = _other_form(unseen[0], known) or did_you_mean(unseen[0], known)
        raise UserError(
            f"{place(first)}: {len(unseen)} label{'s' * (len(unseen) > 1)} not in the training rows:"
            f" {listed(unseen, 5)}{near or '; `--skip-unseen-labels` drops these test rows'}"
        )
    return known


def _other_form(label: str, known: Sequence[str]) -> str:
    """What to say of a label that is a class in another Unicode form, which looks the same."""
    if unicodedata.normalize("NFC", label) not in {unicodedata.normalize("NFC", one) for one in known}:
        return ""
    return f"; '{shown(label)}' is a class in another Unicode form; write both in one, e.g. with unicodedata.normalize"


def with_known_labels(labels: pl.Series, classes: Sequence[str], name: str) -> pl.Series:
    """Which labels are among the classes; the others are reported."""
    seen = labels.is_in(list(map(str, classes)))
    unseen = labels.filter(~seen)
    if len(unseen) == len(labels):
        raise UserError(f"{name}: no row has a label of the training rows; check the label column")
    if len(unseen):
        say(
            f"{name}: {len(unseen):,} of {len(labels):,} rows are skipped, because their labels are not in the training"
            f" rows: {listed(unseen.unique().sort(), 5)}"
        )
    return seen
