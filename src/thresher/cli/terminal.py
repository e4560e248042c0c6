"""Print results on stdout: a table (plain text if it is not a terminal), or JSON for scripts."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from thresher.wording import printable

if TYPE_CHECKING:
    from thresher.results import Comparison

ARM_HEAD = ("trained on", "rows", "accuracy %", "macro-F1 %", "accuracy to all rows [95%]")
TEXT_HEAD = (
    "trained on",
    "rows",
    "loss per token",
    "tokens right %",
    "exactly right %",
    "loss to all rows [95%]",
)
ARM_NAMES = {"full": "all rows", "kept": "kept rows", "random": "random rows"}


def as_json(result: object) -> None:
    """One JSON document on stdout; NaN and infinity become null, as JSON has neither."""
    wide = (sys.stdout.encoding or "").lower().startswith("utf")
    print(json.dumps(_plain(result), ensure_ascii=not wide, default=str, allow_nan=False))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()  # NumPy's numbers
    return None if isinstance(value, float) and not math.isfinite(value) else value


def line(text: str = "") -> None:
    """One line on stdout, safe for a terminal."""
    print(printable(text))


def lines(texts: Iterable[str]) -> None:
    for text in texts:
        line(text)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on stdout: ruled on a terminal, columns of plain text elsewhere. The first column is left-aligned."""
    if sys.stdout.isatty():
        _ruled(head, rows)
        return
    cells = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        first, *rest = zip(row, widths, strict=True)
        padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)]
        print("  ".join(padded).rstrip())


def pairs(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values on stdout, one pair per line."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        line(f"{name:<{width}}  {value}")


def _ruled(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    ruled = Table(box=SIMPLE_HEAD)
    for index, name in enumerate(head):
        ruled.add_column(Text(printable(name)), justify="right" if index else "left")
    for row in rows:
        # Plain text: brackets in data are not markup.
        ruled.add_row(*(Text(printable(cell)) for cell in row))
    Console().print(ruled)


def file_lines(n_rows: int, n_kept: int, n_held_out: int, kept: str, dropped: str) -> list[str]:
    """The files of a selection and how many rows of the input each has.

    >>> file_lines(100, 64, 20, "kept.csv", "dropped.csv")
    ['kept rows (64 of 100, with the 20 held out): kept.csv', 'dropped rows (36): dropped.csv']
    """
    held_out = f", with the {n_held_out:,} held out" if n_held_out else ""
    return [
        f"kept rows ({n_kept:,} of {n_rows:,}{held_out}): {kept}",
        f"dropped rows ({n_rows - n_kept:,}): {dropped}",
    ]


def proof(entry: Comparison) -> None:
    """Print the result of `compare`: the arms, their common recipe, the verdict."""
    facts = entry.settings
    if facts.get("task") == "text":
        text_proof(entry.to_dict())
        return
    from thresher.experiments.wording import arm_lines

    arms = arm_lines({"arms": entry.arms, "differences": entry.differences})
    table(ARM_HEAD, [(ARM_NAMES[arm], *cells) for arm, *cells in arms])
    rule = "the same steps" if facts["same_steps"] else "the same epochs, so fewer steps"
    looks = len(entry.decision["planned"])
    allowed = f"; the intervals allow for {looks} looks" if looks > 1 else ""
    tested = "held-out" if facts.get("held_out") else "test"
    line(
        f"{len(facts['seeds'])} seeds on {facts['n_test']:,} {tested} rows; {rule} on fewer rows: "
        f"{facts['steps_full']:,} steps on all, {facts['steps_pruned']:,} on the kept ones{allowed}"
    )
    line(entry.verdict)


def text_proof(entry: dict[str, Any]) -> None:
    """Print the result of `compare` for completions."""
    from thresher.wording import nats

    arms = []
    for arm, name in ARM_NAMES.items():
        found = entry["arms"][arm]
        cells = [
            f"{scale * found[metric]['mean']:.{digits}f} ± {scale * found[metric]['std']:.{digits}f}"
            for metric, scale, digits in (("loss", 1, 3), ("token_accuracy", 100, 1), ("exact", 100, 1))
        ]
        change = "" if arm == "full" else nats(entry["differences"][f"{arm}-full"]["loss"])
        arms.append((name, f"{found['n_train']:,}", *cells, change))
    table(TEXT_HEAD, arms)
    facts = entry["settings"]
    rule = "the same steps" if facts["same_steps"] else "the same epochs, so fewer steps"
    line(
        f"{len(facts['seeds'])} seeds on {facts['n_test']:,} {'held-out' if facts['held_out'] else 'test'} rows; {rule} on fewer"
        f" rows: {facts['steps_full']:,} steps on all, {facts['steps_pruned']:,} on the kept ones"
    )
    line(entry["verdict"])
