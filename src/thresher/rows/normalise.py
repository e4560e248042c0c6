"""Normalise texts for comparison: rows of the same normalised text count as duplicates."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.rows.table import Rows

BLOCK_ROWS = 1 << 14
# What Python splits ASCII texts at, unless it is a single space already.
_BLANKS = r"[\t-\r\x1c-\x1f ]{2,}|[\t-\r\x1c-\x1f]"
SEPARATOR = "\x1f"  # Python treats it as white space, so no normalised text contains it


def normalised(text: str) -> str:
    """A text in Unicode NFKC, case folded, with white space collapsed and stripped.

    >>> normalised("  ＰＬＡＹ \\n Straße ")
    'play strasse'
    """
    if text.isascii():
        text = text.casefold()
    else:
        # For a few letters, case folding and NFKC each undo the other, so repeat until nothing changes.
        text = unicodedata.normalize("NFKC", text)
        while (folded := unicodedata.normalize("NFKC", text.casefold())) != text:
            text = folded
    return " ".join(text.split())


def text_keys(rows: Rows) -> list[str]:
    """One normalised string per row; the two texts of a pair are joined by `SEPARATOR`, and of a completion the prompt alone
    counts.
    """
    return keys_of(rows).to_list()


def keys_of(rows: Rows, chosen: NDArray[np.bool_] | None = None) -> pl.Series:
    """`text_keys` as a column, of all rows or of the `chosen` ones, (N,)."""
    table = compared(rows)
    table = table if chosen is None else table.filter(chosen)
    return pl.concat([pl.Series(dtype=pl.String), *key_blocks(table)])


def compared(rows: Rows) -> pl.DataFrame:
    """The columns of texts by which rows are compared: of a completion the prompt."""
    return rows.table.select(rows.text[:1] if rows.task == "text" else rows.text)


def key_blocks(table: pl.DataFrame) -> Iterator[pl.Series]:
    """The keys of a table of the text columns, some rows at a time."""
    for block in table.iter_slices(BLOCK_ROWS):
        columns = {name: normalised_column(block[name]) for name in table.columns}
        yield pl.DataFrame(columns).select(pl.concat_str(pl.all(), separator=SEPARATOR)).to_series()


def normalised_column(texts: pl.Series) -> pl.Series:
    """`normalised` of every text of a column.

    >>> normalised_column(pl.Series(["  Play\t JAZZ", "Straße"])).to_list()
    ['play jazz', 'strasse']
    """
    plain = texts.str.len_bytes() == texts.str.len_chars()  # ASCII, where lower case is case folding
    folded = texts.str.to_lowercase().str.replace_all(_BLANKS, " ").str.strip_chars(" ")
    if plain.all():
        return folded
    others = pl.Series([normalised(text) for text in texts.filter(~plain).to_list()], dtype=pl.String)
    return folded.scatter((~plain).arg_true(), others)
