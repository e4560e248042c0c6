"""What is odd about the rows, counted before training starts."""

from __future__ import annotations

import unicodedata
from typing import Any

import polars as pl

from thresher.rows.table import ID, Rows
from thresher.rows.wording import listed, shown

_EXAMPLES = 5
_KEPT_TEXT = 300  # characters of an example


def normalised(text: str) -> str:
    """A text as duplicates are told by: Unicode NFKC, case folded, white space collapsed and stripped.

    >>> normalised("  ＰＬＡＹ \\n Straße ")
    'play strasse'
    """
    if not text.isascii():
        # Folding can undo normalisation, so it is normalised again.
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).casefold()
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def _keys(rows: Rows) -> pl.Series:
    """One normalised string per row, of both texts where there are two."""
    columns = [map(normalised, rows.table[column].to_list()) for column in rows.text]
    # The unit separator is white space, which no normalised text holds.
    return pl.Series("key", ["\x1f".join(pair) for pair in zip(*columns, strict=True)], dtype=pl.String)


def audit(rows: Rows, test: Rows | None = None) -> dict[str, Any]:
    """Count what should be known about rows before a model is trained on them.

    Texts are compared as `normalised` gives them; a pair of texts is equal where both are.

    Returns
    -------
    dict
        JSON-able. `n` rows; `classes` {name: rows}; `groups` {column: {value: rows}};
        `duplicates` {rows, examples}: rows that repeat the text and the label of an earlier row;
        `conflicting` {texts, rows, examples}: texts that carry more than one label, and the rows that hold them;
        `empty` {rows, ids}: rows with an empty text; `singletons`: classes of one row;
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
    table = rows.table.with_columns(_keys(rows).alias("\x1fkey"))
    keyed = pl.DataFrame(
        {
            "id": table[ID],
            "key": table["\x1fkey"],
            "label": table[rows.label],
            "texts": [
                list(one)
                for one in zip(
                    *(rows.table[column].str.head(_KEPT_TEXT) for column in rows.text), strict=True
                )
            ],
        }
    )
    empty = table.filter(pl.any_horizontal(pl.col(column).str.strip_chars() == "" for column in rows.text))
    classes = _counts(rows.table[rows.label])
    return {
        "n": len(rows),
        "classes": {name: classes.get(name, 0) for name in rows.classes},
        "groups": {column: _counts(rows.table[column]) for column in rows.groups},
        "duplicates": _duplicates(keyed),
        "conflicting": _conflicting(keyed),
        "empty": {"rows": empty.height, "ids": empty[ID].head(_EXAMPLES).to_list()},
        "singletons": [name for name in rows.classes if classes.get(name) == 1],
        "overlap": None if test is None else _overlap(keyed, test),
        "test": None if test is None else _test(rows, test),
    }


def _counts(values: pl.Series) -> dict[str, int]:
    counted = values.value_counts().sort("count", values.name, descending=[True, False])
    return dict(zip(counted[values.name].to_list(), counted["count"].to_list(), strict=True))


def _duplicates(keyed: pl.DataFrame) -> dict[str, Any]:
    several = (
        keyed.group_by("key", "label", maintain_order=True)
        .agg(rows=pl.len(), texts=pl.first("texts"), ids=pl.col("id").head(_EXAMPLES))
        .filter(pl.col("rows") > 1)
    )
    worst = several.sort("rows", descending=True, maintain_order=True).head(_EXAMPLES)
    return {
        "rows": int(several["rows"].sum() - several.height),
        "examples": worst.select("texts", "label", "rows", "ids").to_dicts(),
    }


def _conflicting(keyed: pl.DataFrame) -> dict[str, Any]:
    several = (
        keyed.group_by("key", maintain_order=True)
        .agg(rows=pl.len(), texts=pl.first("texts"), ids=pl.col("id").head(_EXAMPLES), labels=pl.col("label"))
        .filter(pl.col("labels").list.n_unique() > 1)
    )
    worst = several.sort("rows", descending=True, maintain_order=True).head(_EXAMPLES)
    return {
        "texts": several.height,
        "rows": int(several["rows"].sum()),
        "examples": [
            {
                "texts": one["texts"],
                "labels": _counts(pl.Series("label", one["labels"])),
                "rows": one["rows"],
                "ids": one["ids"],
            }
            for one in worst.to_dicts()
        ],
    }


def _overlap(keyed: pl.DataFrame, test: Rows) -> dict[str, Any]:
    keys = _keys(test)
    in_train = test.table[ID].filter(keys.is_in(keyed["key"].unique().implode()))
    in_test = keyed["id"].filter(keyed["key"].is_in(keys.unique().implode()))
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
    return lines


def _about_test(report: dict[str, Any]) -> list[str]:
    if report["test"] is None:
        return []
    n, shared, absent = report["test"]["n"], report["overlap"]["test_rows_in_train"], report["test"]["absent"]
    lines = [_count(n, "test row")]
    if shared:
        verb = "stands" if shared == 1 else "stand"
        lines.append(
            f"{shared:,} of them ({shared / n:.1%}) {verb} in the training rows: accuracy on unseen text is lower"
        )
    if absent:
        lines.append(f"{_count(len(absent), 'class')} without a test row: {listed(absent)}")
    return lines


def _quoted(example: dict[str, Any]) -> str:
    return " / ".join(f'"{shown(text)}"' for text in example["texts"])


def _count(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("s") else "s")
    return f"{number:,} {noun if number == 1 else plural}"
