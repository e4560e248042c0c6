"""How many rows a run without test rows holds out to prove on, and what is said of them."""

from __future__ import annotations

import math
from pathlib import Path

from thresher.config import RunConfig
from thresher.rows import Rows
from thresher.rows.split import FEWEST, hold_out
from thresher.run import Run
from thresher.wording import listed

# The largest share that `auto` holds out.
MOST = 0.2
# Of the difference in being right, averaged over seeds, over the test rows: as if the models differed on 3 rows in 100.
VARIANCE = 0.03
# Completions that are held out at most: each has many tokens.
ENOUGH_TEXTS = 500


def half_width(rows: int) -> float:
    """Points of accuracy to each side of the 95% interval of a paired difference on so many test rows: 196 sqrt(v / n).

    v = 0.03 is the variance over rows of the difference in being right, averaged over seeds.

    >>> round(half_width(4610), 3), round(half_width(200), 1)
    (0.5, 2.4)
    """
    return 196 * math.sqrt(VARIANCE / rows)


def rows_for(margin: float) -> int:
    """How many test rows make that interval as wide as `margin` points to each side: n = v (196 / margin)^2.

    >>> rows_for(0.5), rows_for(1)
    (4610, 1153)
    """
    return math.ceil(VARIANCE * (196 / margin) ** 2)


def without_held_out(folder: Path | None, rows: Rows, config: RunConfig) -> tuple[Rows, Rows | None]:
    """The rows to train on and the rows held out to prove on, by `compare.hold_out`; None where none are.

    A run that is in the folder already keeps its split, whatever the margin is now.
    """
    former = Run.open(folder).manifest if folder and Run.exists(folder) else None
    asked = config.compare.hold_out
    if asked != "auto":
        share = asked
    elif former:
        share = former.held_out.share if former.held_out else 0.0
    elif rows.task == "text":
        share = min(MOST, ENOUGH_TEXTS / len(rows))
    else:
        share = min(MOST, rows_for(config.how_much.margin) / len(rows))
    if not share:
        return rows, None
    seed = former.config.train.seed if former else config.train.seed
    train, test = hold_out(rows, share, seed)
    return train, test if len(test) else None


def held_out_lines(rows: Rows, margin: float) -> list[str]:
    """What to say of the rows that were held out of these: how many, what they can show, and which classes are not in them."""
    found = rows.source.held_out
    if found is None:
        return []
    n_test = len(found.rows)
    n_rows = n_test + len(rows)
    if not n_test:
        return [
            f"run: no row is held out to prove on: {found.share:.3g} of {n_rows:,} rows is less than a row, or no class has"
            f" {FEWEST} different texts; give --test FILE"
        ]
    if rows.task == "text":
        return [
            f"run: {n_test:,} of {n_rows:,} rows are held out for the proof, equal prompts together: no model trains on them, and"
            " all of them are kept; --hold-out 0 leaves the proof out"
        ]
    width, wanted = half_width(n_test), rows_for(margin)
    more = f"; for {margin:g} points give --test with {wanted:,} rows" if wanted > n_test else ""
    lines = [
        f"run: {n_test:,} of {n_rows:,} rows are held out for the proof: no model trains on them, and all of them are kept;"
        " --hold-out 0 leaves the proof out",
        f"run: the 95% interval on {n_test:,} rows reaches about {width:.1f} points to each side{more}",
    ]
    if names := found.too_small:
        classes = "class" if len(names) == 1 else "classes"
        lines.append(
            f"run: {len(names):,} {classes} with fewer than {FEWEST} different texts stay in training: {listed(names)}"
        )
    return lines
