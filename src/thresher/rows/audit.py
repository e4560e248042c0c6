"""Count duplicates, conflicting labels, empty texts and test overlap before training starts."""

from __future__ import annotations

import re

import numpy as np
import polars as pl

from thresher.facts.audit import Audit, Conflicting, Duplicates, Example, HeldOut, Overlap
from thresher.rows.ids import is_repeated
from thresher.rows.normalise import SEPARATOR, compared, key_blocks, keys_of, normalised
from thresher.rows.table import ID, Rows

EXAMPLES = 5
EXAMPLE_CHARACTERS = 300
# Without blanks and signs, in lower case: no_label and "Not labelled" are nolabel and notlabelled.
NO_LABEL = re.compile(
    "na|nan|nat|nil|none|null|nolabel|(un|not)(label|labell|annotat|assign)ed|missing|unknown|unk|undefined|undetermined|invalid|"
    "void|blank|empty|tbd|todo"
)
# Signs alone, numbers that stand for no class, errors of spreadsheets, and what MySQL writes.
NO_LABEL_FORM = re.compile(r"[-–—_?*.…/\\#~(){}\[\]<>'\"]+|-(1|9|99|100|999|9999)(\.0+)?|#[a-z/0]+[!?]|\\n")


def audit(rows: Rows, test: Rows | None = None) -> Audit:
    """Count what can spoil a training or a test: duplicates, conflicting labels, empty texts, test overlap.

    Texts are compared after `normalised`; pairs are equal if both texts are. Every list of examples has at most five,
    with texts cut to 300 characters.

    >>> import polars as pl
    >>> from thresher.rows import load
    >>> frame = pl.DataFrame({"text": ["Stop!", "stop!", "stop!", ""], "label": ["a", "a", "b", "b"]})
    >>> report = audit(load(frame, text="text", label="label"))
    >>> report["duplicates"]["rows"], report["conflicting"]["rows"], report["empty"]["rows"]
    (1, 3, 1)
    """
    if rows.task == "text" and len(rows.text) == 2:
        from thresher.rows.audit_texts import audit_texts

        return audit_texts(rows, test)
    hashes, blank = key_hashes(rows)
    empty = rows.table[ID].filter(blank)
    # Only rows whose hash occurs twice can have equal texts; the texts of these are compared.
    often = is_repeated(hashes.to_numpy())
    keyed = pl.DataFrame(
        {
            "row": np.flatnonzero(often),
            "key": keys_of(rows, often),
            "label": rows.table[rows.label].filter(pl.Series(often)),
        }
    )
    classes = counts_of(rows.table[rows.label])
    return {
        "n": len(rows),
        "label": rows.label,
        "classes": {name: classes.get(name, 0) for name in rows.classes},
        "groups": {column: counts_of(rows.table[column]) for column in rows.groups},
        "duplicates": repeats(keyed, rows),
        "conflicting": conflicts(keyed, rows),
        "empty": {"rows": len(empty), "ids": empty.head(EXAMPLES).to_list()},
        "singletons": [name for name in rows.classes if classes.get(name) == 1],
        "alike": _alike(rows.classes),
        "unlabelled": {
            name: classes[name] for name in rows.classes if name in classes and _is_no_label(name)
        },
        "overlap": None if test is None else overlap_with(hashes, rows, test),
        "test": None if test is None else _test(rows, test),
    }


def overlap_share(report: Audit) -> float:
    """The share of test rows whose text also occurs in the training set; 0 without test rows."""
    if report["overlap"] is None or report["test"] is None:
        return 0.0
    return report["overlap"]["test_rows_in_train"] / report["test"]["n"]


def _alike(classes: tuple[str, ...]) -> list[list[str]]:
    """Groups of class names that are equal after `normalised`.

    >>> _alike(("Alarm", "alarm ", "music"))
    [['Alarm', 'alarm ']]
    """
    groups: dict[str, list[str]] = {}
    for name in classes:
        groups.setdefault(normalised(name), []).append(name)
    return [names for names in groups.values() if len(names) > 1]


def _is_no_label(name: str) -> bool:
    """Whether a class name is a usual way to write that a row has no label.

    >>> [name for name in ("-", "N/A", "-1", "none", "<unk>", "no label", "no", "1", "+") if _is_no_label(name)]
    ['-', 'N/A', '-1', 'none', '<unk>', 'no label']
    """
    plain = normalised(name)
    word = re.sub(r"[\W_]", "", plain)
    return any((NO_LABEL_FORM.fullmatch(plain), NO_LABEL.fullmatch(word)))


def counts_of(values: pl.Series) -> dict[str, int]:
    """The number of rows of each value, largest first."""
    counted = values.alias("value").value_counts(name="rows").sort("rows", "value", descending=[True, False])
    return dict(counted.iter_rows())


def repeats(keyed: pl.DataFrame, rows: Rows) -> Duplicates:
    """Rows whose key and label occur before; `keyed` has the columns row, key and label."""
    repeated = keyed.filter(keyed.select("key", "label").is_duplicated())
    groups = repeated.group_by("key", "label", maintain_order=True).agg(pl.col("row"))["row"]
    return {"rows": repeated.height - len(groups), "examples": _examples(groups, rows)}


def conflicts(keyed: pl.DataFrame, rows: Rows) -> Conflicting:
    """Keys with more than one label; `keyed` has the columns row, key and label."""
    groups = (
        keyed.filter(keyed["key"].is_duplicated())
        .group_by("key", maintain_order=True)
        .agg(pl.col("row"), pl.col("label").n_unique())
        .filter(pl.col("label") > 1)["row"]
    )
    return {
        "texts": len(groups),
        "rows": int(groups.list.len().sum()),
        "examples": _examples(groups, rows),
    }


def _examples(groups: pl.Series, rows: Rows) -> list[Example]:
    """The largest groups of row numbers, described."""
    largest = pl.DataFrame({"row": groups}).sort(
        pl.col("row").list.len(), descending=True, maintain_order=True
    )
    found = [rows.table[members] for members in largest["row"].head(EXAMPLES)]
    return [
        {
            "texts": [table[column][0][:EXAMPLE_CHARACTERS] for column in rows.text],
            "labels": counts_of(table[rows.label]),
            "rows": table.height,
            "ids": table[ID].head(EXAMPLES).to_list(),
        }
        for table in found
    ]


def key_hashes(rows: Rows) -> tuple[pl.Series, pl.Series]:
    """A hash of the normalised text of every row, and whether it is empty, or one of a pair is."""
    hashes, blank = [], []
    for keys in key_blocks(compared(rows)):
        hashes.append(keys.hash())
        # If one text of a pair is empty, its key begins or ends with the separator.
        blank.append(keys.str.contains(f"^$|^{SEPARATOR}|{SEPARATOR}$"))
    return pl.concat([pl.Series(dtype=pl.UInt64), *hashes]), pl.concat([pl.Series(dtype=pl.Boolean), *blank])


def overlap_with(hashes: pl.Series, rows: Rows, test: Rows) -> Overlap:
    """Rows whose normalised text occurs in both sets; `hashes` are those of `rows`."""
    test_hashes = key_hashes(test)[0]
    # Rows whose hash occurs in the other set; the texts of these are compared.
    of_train = hashes.is_in(test_hashes.unique().implode()).to_numpy()
    of_test = test_hashes.is_in(hashes.filter(pl.Series(of_train)).unique().implode()).to_numpy()
    keys, test_keys = keys_of(rows, of_train), keys_of(test, of_test)
    in_train = test.table[ID].filter(pl.Series(of_test)).filter(test_keys.is_in(keys.unique().implode()))
    in_test = rows.table[ID].filter(pl.Series(of_train)).filter(keys.is_in(test_keys.unique().implode()))
    return {
        "test_rows_in_train": len(in_train),
        "train_rows_in_test": len(in_test),
        "test_ids": in_train.to_list(),
        "train_ids": in_test.to_list(),
    }


def _test(rows: Rows, test: Rows) -> HeldOut:
    classes = counts_of(test.table[test.label])
    return {
        "n": len(test),
        "classes": classes,
        "absent": [name for name in rows.classes if name not in classes],
    }
