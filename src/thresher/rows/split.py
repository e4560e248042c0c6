"""Hold out some of the training rows, grouped by text."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.row_hash import purpose_hashes, uniform
from thresher.rows.normalise import SEPARATOR, keys_of, text_keys
from thresher.rows.table import HeldOut, Rows, Source

# A class with fewer different texts stays in the training rows.
FEWEST = 5


def hold_out(rows: Rows, share: float, seed: int = 0) -> tuple[Rows, Rows]:
    """Split rows into training rows, which remember the others, and about a `share` of held-out rows to test on.

    Equal normalised texts stay on one side. Of a class whose texts all differ, floor(share n) or one more of its n rows are
    held out, and as nearly as that of each of its combinations of group values; of all rows, never more than the share. A text
    with several labels is trained on, and so is a class with fewer than 5 texts of its own: `source.held_out.too_small`
    names it. Which texts are held out follows from the rows and the seed, whatever the order.

    Parameters: `share` 0 < share <= 0.5, so that every class keeps training rows. Returns (training, held out).

    Source: systematic sampling in stratified order, Cochran (1977), Sampling Techniques, chapter 8.

    >>> import polars as pl
    >>> from thresher.rows import load
    >>> frame = pl.DataFrame({"text": [f"song {n}" for n in range(20)], "label": ["a", "b"] * 10})
    >>> train, held_out = hold_out(load(frame, text="text", label="label"), 0.2)
    >>> len(train), len(held_out), set(train.table["text"]) & set(held_out.table["text"])
    (16, 4, set())
    """
    lines = rows.table.select(
        label=pl.col(rows.label),
        cell=pl.concat_str(rows.groups, separator=SEPARATOR) if rows.groups else pl.lit(""),
        text=keys_of(rows),
    )
    units = (
        lines.group_by("text")
        .agg(
            label=pl.col("label").first(),
            labels=pl.col("label").n_unique(),
            cell=pl.col("cell").unique().sort().str.join(SEPARATOR),
            copies=pl.len(),
        )
        .filter(pl.col("labels") == 1)
    )
    large = units.group_by("label").len().filter(pl.col("len") >= FEWEST)["label"]
    units = units.filter(pl.col("label").is_in(large.implode()))
    units = units.with_columns(
        place=pl.Series(purpose_hashes(units["text"], seed, "held out"), dtype=pl.UInt64)
    )
    units = units.sort("label", "cell", "copies", "place", "text")
    chosen = units["text"].filter(pl.Series(_every(units, share), dtype=pl.Boolean))
    held_out = lines["text"].is_in(chosen.implode()).to_numpy()
    too_small = tuple(sorted(set(rows.classes) - set(large)))
    train, tested = part(rows, ~held_out), part(rows, held_out)
    assert tested.source.selected is not None
    found = HeldOut(tested.source.selected, share, too_small)
    # The training rows know what to write back; the others need no source of their own.
    return (
        replace(train, source=replace(train.source, held_out=found)),
        replace(tested, source=Source(rows.source.format, rows.source.path)),
    )


def _every(units: pl.DataFrame, share: float) -> list[bool]:
    """Systematic sampling: which texts, in their order, make the held-out rows keep up with `share` of the rows passed.

    A text waits until all of its copies fit. What a class leaves open beyond a row is not made good by the next one.
    """
    chosen, open_rows, former = [], 0.0, None
    for label, copies in units.select("label", "copies").iter_rows():
        if label != former:
            open_rows, former = max(open_rows, 0.0) % 1, label
        open_rows += share * copies
        # Sums of shares are rounded: 5 x 0.2 must make a whole row.
        fits = open_rows + 1e-9 >= copies
        open_rows -= copies * fits
        chosen.append(fits)
    return chosen


def split_off(rows: Rows, share: float, seed: int = 0) -> tuple[Rows, Rows]:
    """Split rows into training rows and about a `share` of held-out rows; equal normalised texts stay on one side.

    Which texts are held out depends on the text and the seed alone. A class that would lose all its rows is not split.

    >>> import polars as pl
    >>> from thresher.rows import load
    >>> frame = pl.DataFrame({"text": ["Play jazz", "play jazz", *map(str, range(8))], "label": ["a", "b"] * 5})
    >>> train, held_out = split_off(load(frame, text="text", label="label"), 0.3)
    >>> len(train), len(held_out), set(train.table["text"]) & set(held_out.table["text"])
    (7, 3, set())
    """
    texts, labels = text_keys(rows), rows.labels()
    held_out: NDArray[np.bool_] = uniform(purpose_hashes(texts, seed, "set aside")) < share
    trained = np.bincount(labels[~held_out], minlength=len(rows.classes)) > 0
    spared = {texts[row] for row in np.flatnonzero(held_out & ~trained[labels])}
    if spared:
        held_out &= np.array([text not in spared for text in texts])
    return part(rows, ~held_out), part(rows, held_out)


def parts_of(rows: Rows, parts: int, seed: int = 0) -> NDArray[np.int64]:
    """The part 0..P-1 that every row is in, (N,), for cross-validation; equal normalised texts share one.

    The different texts of a class are spread evenly over the parts, in an order that depends on the texts and the seed alone.
    The rows of a class that lie in one part only are in none, -1: what is outside a part then holds every class.

    >>> import polars as pl
    >>> from thresher.rows import load
    >>> rows = load(pl.DataFrame({"text": [*"abcab", "odd"], "label": ["x"] * 5 + ["y"]}), text="text", label="label")
    >>> found = parts_of(rows, 2).tolist()
    >>> found[:2] == found[3:5], found[5], sorted(set(found[:3]))
    (True, -1, [0, 1])
    """
    texts, labels = text_keys(rows), rows.labels()
    keys, first, unit = np.unique(np.array(texts, dtype=object), return_index=True, return_inverse=True)
    place = purpose_hashes(keys.tolist(), seed, "parts")
    of_text = np.empty(len(keys), np.int64)
    of_text[np.lexsort((place, labels[first]))] = np.arange(len(keys)) % parts
    found = of_text[unit]
    spread = np.zeros((len(rows.classes), parts), np.bool_)
    spread[labels, found] = True
    alone = spread.sum(1) < 2
    # Other rows of the same text stay with the ones that are in no part.
    bound = np.bincount(unit, weights=alone[labels], minlength=len(keys)) > 0
    found[bound[unit]] = -1
    return found


def part(rows: Rows, chosen: NDArray[np.bool_]) -> Rows:
    """Some of the rows, in their order; `chosen` (N,). Their source remembers which rows of it they are."""
    source = rows.source
    numbers = np.arange(len(rows)) if source.selected is None else source.selected
    return replace(
        rows,
        table=rows.table.filter(chosen),
        source=replace(source, selected=numbers[chosen], held_out=None),
    )
