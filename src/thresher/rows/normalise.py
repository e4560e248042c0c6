"""Normalise texts for comparison: rows of the same normalised text count as duplicates."""

from __future__ import annotations

import unicodedata

from thresher.rows.table import Rows

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
    texts = rows.text[:1] if rows.task == "text" else rows.text  # the prompt
    columns = [map(normalised, rows.table[column].to_list()) for column in texts]
    return [SEPARATOR.join(texts) for texts in zip(*columns, strict=True)]
