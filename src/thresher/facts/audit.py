"""The findings of the audit of the rows."""

from __future__ import annotations

from typing import NotRequired, TypedDict


class Example(TypedDict):
    """Rows of one text: their text(s), rows per label, number of rows, and the first ids."""

    texts: list[str]
    labels: dict[str, int]
    rows: int
    ids: list[str]


class Duplicates(TypedDict):
    """Rows that repeat the text and the label of an earlier row."""

    rows: int
    examples: list[Example]


class Conflicting(TypedDict):
    """Texts that carry more than one label, and the rows of these texts."""

    texts: int
    rows: int
    examples: list[Example]


class Empty(TypedDict):
    """Rows with an empty text."""

    rows: int
    ids: list[str]


class NearEqual(TypedDict):
    """Rows that are nearly equal to an earlier one, of `among` rows that were compared; examples (earlier id, id)."""

    rows: int
    among: int
    examples: list[tuple[str, str]]


class Overlap(TypedDict):
    """Rows whose text occurs in both sets."""

    test_rows_in_train: int
    train_rows_in_test: int
    test_ids: list[str]
    train_ids: list[str]


class HeldOut(TypedDict):
    """The test set; `absent` names the classes without a test row."""

    n: int
    classes: dict[str, int]
    absent: list[str]


class Audit(TypedDict):
    """The findings of `audit`, JSON-able."""

    n: int
    label: str  # the label column
    classes: dict[str, int]  # rows per class
    groups: dict[str, dict[str, int]]  # column -> value -> rows
    duplicates: Duplicates
    conflicting: Conflicting
    empty: Empty
    singletons: list[str]  # classes of one row
    alike: list[list[str]]  # classes whose normalised names are equal
    unlabelled: dict[str, int]  # classes whose name may mean "no label" -> rows
    overlap: Overlap | None  # None without test rows
    test: HeldOut | None
    near_equal: NotRequired[NearEqual]  # of rows whose target is a text
    task: NotRequired[str]  # "text" for rows whose target is a text
