"""What is odd about the rows, counted before training starts."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from thresher.rows.table import ID, Rows
from thresher.wording import listed, shown

_EXAMPLES = 5
_SEPARATOR = "\x1f"  # white space to Python, so no normalised text holds it
_KEPT_TEXT = 300  # characters of an example


def normalised(text: str) -> str:
    """A text as duplicates are told by: Unicode NFKC, case folded, white space collapsed and stripped.

    >>> normalised("  ＰＬＡＹ \\n Straße ")
    'play strasse'
    """
    text = text.casefold() if text.isascii() else _folded(unicodedata.normalize("NFKC", text))
    return " ".join(text.split())


def _folded(text: str) -> str:
    """Case folding and normalisation can each undo the other for a few letters, so both until nothing changes."""
    while (folded := unicodedata.normalize("NFKC", text.casefold())) != text:
        text = folded
    return text


def _keys(rows: Rows) -> pl.Series:
    """One normalised string per row, of both texts where there are two."""
    columns = [map(normalised, rows.table[column].to_list()) for column in rows.text]
    return pl.Series("key", [_SEPARATOR.join(pair) for pair in zip(*columns, strict=True)], dtype=pl.String)


def audit(rows: Rows, test: Rows | None = None) -> dict[str, Any]:
    """Count what should be known about rows before a model is trained on them.

    Texts are compared as `normalised` gives them; a pair of texts is equal where both are.

    Returns
    -------
    dict
        JSON-able. `n` rows; `classes` {name: rows}; `groups` {column: {value: rows}};
        `duplicates` {rows, examples}: rows that repeat the text and the label of an earlier row;
        `conflicting` {texts, rows, examples}: texts that carry more than one label, and the rows that hold them;
        `empty` {rows, ids}: rows with an empty text; `singletons`: classes of one row; `alike`: groups of classes whose
        names are equal as `normalised` gives them;
        `overlap` {test_rows_in_train, train_rows_in_test, test_ids, train_ids} and
        `test` {n, classes, absent} (`absent`: classes without a test row), both None without test rows.
        Examples are at most five, texts in them cut to 300 characters.

    >>> import polars as pl
    >>> from thresher.rows import load
    >>> frame = pl.DataFrame({"text": ["Stop!", "stop!", "stop!", ""], "label": ["a", "a", "b", "b"]})
    >>> report = audit(load(frame, text="text", label="label"))
    >>> report["duplicates"]["rows"], report["conflicting"]["rows"], report["empty"]["rows"]
    (1, 3, 1)
    """
    keyed = pl.DataFrame({"row": np.arange(len(rows)), "key": _keys(rows), "label": rows.table[rows.label]})
    # One of two texts may be empty: its key then begins or ends with the separator.
    empty = rows.table[ID].filter(keyed["key"].str.contains(f"^$|^{_SEPARATOR}|{_SEPARATOR}$"))
    classes = _counts(rows.table[rows.label])
    return {
        "n": len(rows),
        "classes": {name: classes.get(name, 0) for name in rows.classes},
        "groups": {column: _counts(rows.table[column]) for column in rows.groups},
        "duplicates": _duplicates(keyed, rows),
        "conflicting": _conflicting(keyed, rows),
        "empty": {"rows": len(empty), "ids": empty.head(_EXAMPLES).to_list()},
        "singletons": [name for name in rows.classes if classes.get(name) == 1],
        "alike": _alike(rows.classes),
        "overlap": None if test is None else _overlap(keyed["key"], rows, test),
        "test": None if test is None else _test(rows, test),
    }


def _alike(classes: Sequence[str]) -> list[list[str]]:
    """Groups of names that are one when normalised.

    >>> _alike(["Alarm", "alarm ", "music"])
    [['Alarm', 'alarm ']]
    """
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(normalised(name), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _counts(values: pl.Series) -> dict[str, int]:
    counted = values.alias("value").value_counts(name="rows").sort("rows", "value", descending=[True, False])
    return dict(counted.iter_rows())


def _duplicates(keyed: pl.DataFrame, rows: Rows) -> dict[str, Any]:
    repeated = keyed.filter(keyed.select("key", "label").is_duplicated())
    several = repeated.group_by("key", "label", maintain_order=True).agg(pl.col("row"))
    return {
        "rows": repeated.height - several.height,
        "examples": _examples(several["row"], rows),
    }


def _conflicting(keyed: pl.DataFrame, rows: Rows) -> dict[str, Any]:
    repeated = keyed.filter(keyed["key"].is_duplicated())
    several = (
        repeated.group_by("key", maintain_order=True)
        .agg(pl.col("row"), pl.col("label").n_unique())
        .filter(pl.col("label") > 1)
    )
    return {
        "texts": several.height,
        "rows": int(several["row"].list.len().sum()),
        "examples": _examples(several["row"], rows),
    }


def _examples(groups: pl.Series, rows: Rows) -> list[dict[str, Any]]:
    """The largest groups of rows: their first text, how many rows of which label, and the first ids."""
    largest = pl.DataFrame({"row": groups}).sort(
        pl.col("row").list.len(), descending=True, maintain_order=True
    )
    examples = []
    for members in largest["row"].head(_EXAMPLES):
        found = rows.table[members]
        examples.append(
            {
                "texts": [found[column][0][:_KEPT_TEXT] for column in rows.text],
                "labels": _counts(found[rows.label]),
                "rows": found.height,
                "ids": found[ID].head(_EXAMPLES).to_list(),
            }
        )
    return examples


def _overlap(keys: pl.Series, rows: Rows, test: Rows) -> dict[str, Any]:
    test_keys = _keys(test)
    in_train = test.table[ID].filter(test_keys.is_in(keys.unique().implode()))
    in_test = rows.table[ID].filter(keys.is_in(test_keys.unique().implode()))
    return {
        "test_rows_in_train": len(in_train),
        "train_rows_in_test": len(in_test),
        "test_ids": in_train.to_list(),
        "train_ids": in_test.to_list(),
    }


def _test(rows: Rows, test: Rows) -> dict[str, Any]:
    classes = _counts(test.table[test.label])
    return {
        "n": len(test),
        "classes": classes,
        "absent": [name for name in rows.classes if name not in classes],
    }


def overlap_share(report: dict[str, Any]) -> float:
    """The share of the test rows whose text stands in the training rows; 0 without test rows."""
    return report["overlap"]["test_rows_in_train"] / report["test"]["n"] if report["test"] else 0.0


def audit_lines(report: dict[str, Any]) -> list[str]:
    """An audit in plain sentences, only the ones that matter, safe for a terminal.

    >>> import polars as pl
    >>> from thresher.rows import load
    >>> frame = pl.DataFrame({"text": ["stop", "go", "Stop"], "label": ["a", "b", "b"]})
    >>> for line in audit_lines(audit(load(frame, text="text", label="label"))):
    ...     print(line)
    3 rows, 2 classes (smallest: a, 1; largest: b, 2)
    1 text carries more than one label (2 rows), e.g. "stop": a 1, b 1
    1 class has one row only: a
    """
    return [line for line in (*_about_train(report), *_about_test(report)) if line]


def _about_train(report: dict[str, Any]) -> list[str]:
    classes = sorted(report["classes"].items(), key=lambda item: item[1])
    (small, few), (large, many) = classes[0], classes[-1]
    lines = [
        f"{_count(report['n'], 'row')}, {_count(len(classes), 'class')} "
        f"(smallest: {shown(small)}, {few:,}; largest: {shown(large)}, {many:,})"
    ]
    duplicates, conflicting, empty = report["duplicates"], report["conflicting"], report["empty"]
    if duplicates["rows"]:
        example = duplicates["examples"][0]
        verb = "repeats" if duplicates["rows"] == 1 else "repeat"
        lines.append(
            f"{_count(duplicates['rows'], 'row')} {verb} the text and label of an earlier row, e.g. {_quoted(example)}"
            f" ({example['rows']:,} times)"
        )
    if conflicting["texts"]:
        example = conflicting["examples"][0]
        verb = "carries" if conflicting["texts"] == 1 else "carry"
        labels = listed((f"{shown(name, 30)} {count:,}" for name, count in example["labels"].items()), 4)
        lines.append(
            f"{_count(conflicting['texts'], 'text')} {verb} more than one label ({_count(conflicting['rows'], 'row')}),"
            f" e.g. {_quoted(example)}: {labels}"
        )
    if empty["rows"]:
        verb = "has" if empty["rows"] == 1 else "have"
        lines.append(
            f"{_count(empty['rows'], 'row')} {verb} an empty text: {listed(empty['ids'], _EXAMPLES)}"
        )
    if report["singletons"]:
        names = report["singletons"]
        verb = "has" if len(names) == 1 else "have"
        lines.append(f"{_count(len(names), 'class')} {verb} one row only: {listed(names)}")
    if report["alike"]:
        groups = "; ".join(listed(names, 4) for names in report["alike"][:_EXAMPLES])
        lines.append(f"classes whose names differ in case or white space alone: {groups}")
    return lines


def _about_test(report: dict[str, Any]) -> list[str]:
    if report["test"] is None:
        return []
    n, shared, absent = report["test"]["n"], report["overlap"]["test_rows_in_train"], report["test"]["absent"]
    lines = [_count(n, "test row")]
    if shared:
        verb = "stands" if shared == 1 else "stand"
        lines.append(
            f"{shared:,} of them ({shared / n:.1%}) {verb} in the training rows; read the figures for unseen text too"
        )
    if absent:
        lines.append(f"{_count(len(absent), 'class')} without a test row: {listed(absent)}")
    return lines


def _quoted(example: dict[str, Any]) -> str:
    return " / ".join(f'"{shown(text)}"' for text in example["texts"])


def _count(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"
