"""The audit of rows whose target is a text: repeated and nearly equal rows, prompts with several completions, test overlap."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl

from thresher.facts.audit import Audit, NearEqual
from thresher.row_hash import hash_ids
from thresher.rows.audit import EXAMPLES, conflicts, counts_of, key_hashes, overlap_with, repeats
from thresher.rows.near_equal import MOST_ROWS, nearly_equal
from thresher.rows.normalise import key_blocks, keys_of
from thresher.rows.table import ID, Rows


def audit_texts(rows: Rows, test: Rows | None = None) -> Audit:
    """Count rows that repeat prompt and completion or nearly do, prompts with more than one completion, and test overlap.

    Prompts are compared after `normalised`. Rows with a test row of the same prompt count as overlap, whatever their completions.

    >>> from thresher.rows.texts import load_texts
    >>> frame = pl.DataFrame({"prompt": ["2 + 2?", "2 + 2?", "2 + 2 ?"], "completion": ["4", "four", "4"]})
    >>> found = audit_texts(load_texts(frame))
    >>> found["duplicates"]["rows"], found["conflicting"]["texts"], found["conflicting"]["rows"]
    (0, 1, 2)
    """
    prompt, completion = rows.text
    keyed = pl.DataFrame(
        {
            "row": np.arange(len(rows)),
            "key": keys_of(rows),
            "label": rows.table[completion].str.strip_chars(),
        }
    )
    # Completions stand where classes do: a prompt with two of them is like a text with two labels.
    shown_rows = replace(rows, text=(prompt,), label=completion)
    empty = rows.table[ID].filter(rows.table[prompt].str.strip_chars() == "")
    return {
        "n": len(rows),
        "label": rows.label,
        "classes": {rows.classes[0]: len(rows)},
        "groups": {column: counts_of(rows.table[column]) for column in rows.groups},
        "duplicates": repeats(keyed, shown_rows),
        "conflicting": conflicts(keyed, shown_rows),
        "empty": {"rows": len(empty), "ids": empty.head(EXAMPLES).to_list()},
        "near_equal": near_rows(rows),
        "singletons": [],
        "alike": [],
        "unlabelled": {},
        "overlap": None if test is None else overlap_with(key_hashes(rows)[0], rows, test),
        "test": None
        if test is None
        else {"n": len(test), "classes": {rows.classes[0]: len(test)}, "absent": []},
        "task": "text",
    }


def near_rows(rows: Rows) -> NearEqual:
    """The rows that are nearly equal to an earlier one, prompt and completion together; among the first rows by id hash."""
    chosen = pl.DataFrame({"row": np.arange(len(rows)), "hash": hash_ids(rows.table[ID])})
    chosen = chosen.bottom_k(MOST_ROWS, by="hash").sort("row")
    table = rows.table[chosen["row"]].select(rows.text)
    whole = pl.concat(key_blocks(table)) if len(table) else pl.Series(dtype=pl.String)
    first = pl.DataFrame({"row": chosen["row"], "text": whole}).unique(
        "text", keep="first", maintain_order=True
    )
    pairs = nearly_equal(first["text"].to_list())
    ids = rows.table[ID][first["row"]]
    return {
        "rows": len(pairs),
        "among": len(chosen),
        "examples": [(ids[earlier], ids[row]) for earlier, row in pairs[:EXAMPLES]],
    }
