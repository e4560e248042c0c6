"""Per class and per group: the share removed and the change in accuracy."""

from __future__ import annotations

from typing import TypedDict

import polars as pl

from thresher.facts.comparison import ComparisonFacts, GroupFacts, Groups
from thresher.report.format import count, digits_for, interval, known, percent, points
from thresher.report.read import RunFiles, Selection

SMALL = 20  # training rows; the paper saw regressions in domains below this
MOST_VALUES = 400
Bar = TypedDict("Bar", {"from": float, "to": float, "at": float, "side": str})


class Line(TypedDict):
    """The line of one group: numbers to sort by, and texts to print."""

    group: str
    value: str
    n_train: int
    n_test: int | None
    removed: float | None
    removed_text: str
    full: float | None
    full_text: str
    kept: float | None
    kept_text: str
    change: float | None
    low: float | None
    high: float | None
    change_text: str
    interval: str
    small: bool
    few_tests: bool
    why_empty: str
    rows_text: str
    tests_text: str
    bar: Bar | None


def groups(
    files: RunFiles, selection: Selection | None, entry: ComparisonFacts | None
) -> dict[str, object] | None:
    """The lines of the table, largest loss first; None if nothing was selected.

    Returns `lines`; `names` of the group columns (the label first) and `label`, the label's own name; `omitted` {group: values
    beyond the 400 largest}; `small`, how many lines are flagged; `measured`, how many have an interval, `below` and `above`,
    how many of those lie entirely below or above zero, and `chance`, how many would exclude zero by chance alone; `reach`, half
    the width of the bars' common scale in points.
    """
    if selection is None or files.rows is None:
        return None
    found = removed_shares(files.rows, selection.table, _columns(files))
    for name, values in (entry["groups"] if entry else {}).items():
        for value, measured in values.items():
            # The comparison counted the same rows; add what it measured.
            found.setdefault(name, {}).setdefault(value, {}).update(measured)
    omitted: dict[str, int] = {}
    lines: list[Line] = []
    for name, values in found.items():
        largest = sorted(values.items(), key=lambda item: -item[1]["n_train"])
        if len(largest) > MOST_VALUES:
            omitted[name] = len(largest) - MOST_VALUES
        lines += [_line(name, value, facts) for value, facts in largest[:MOST_VALUES]]
    lines.sort(key=lambda line: (line["change"] is None, line["change"] or 0.0))
    bounds = sorted(abs(end) for line in lines for end in (line["low"], line["high"]) if end is not None)
    reach = bounds[int(0.9 * (len(bounds) - 1))] if bounds else 0.0
    for line in lines:
        line["bar"] = _bar(line, reach or 0.01)
    intervals = sum(line["change"] is not None for line in lines)
    return {
        "lines": lines,
        "names": list(found),
        "label": files.manifest.config.data.label,
        "omitted": omitted,
        "small": sum(line["small"] for line in lines),
        "measured": intervals,
        "below": sum(line["high"] is not None and line["high"] < 0 for line in lines),
        "above": sum(line["low"] is not None and line["low"] > 0 for line in lines),
        "reach": f"{100 * (reach or 0.01):.2g}",
        "chance": round(0.05 * intervals),
    }


def _columns(files: RunFiles) -> dict[str, str]:
    data = files.manifest.config.data
    return {"label": data.label, **{name: name for name in data.groups}}


def removed_shares(rows: pl.DataFrame, selected: pl.DataFrame, columns: dict[str, str]) -> Groups:
    """Training rows and the share of them removed, per value of every group column."""
    kept = rows.select("id").join(selected, on="id", how="left", maintain_order="left")["kept"]
    return {
        name: {
            str(value): {"n_train": n, "removed": removed}
            for value, n, removed in pl.DataFrame({"value": rows[column], "kept": kept})
            .group_by("value", maintain_order=True)
            .agg(pl.len().alias("n"), (~pl.col("kept")).mean().alias("removed"))
            .iter_rows()
        }
        for name, column in columns.items()
        if column in rows.columns
    }


def _line(name: str, value: str, facts: GroupFacts) -> Line:
    found = facts.get("kept-full")
    change = found if found and all(map(known, (found["mean"], found["low"], found["high"]))) else None
    digits = digits_for(change) if change else 1
    n_test = facts.get("n_test")
    return {
        "group": name,
        "value": value,
        "n_train": facts["n_train"],
        "n_test": n_test,
        "removed": facts.get("removed"),
        "removed_text": percent(facts.get("removed"), 0),
        "full": facts.get("full"),
        "full_text": percent(facts.get("full")),
        "kept": facts.get("kept"),
        "kept_text": percent(facts.get("kept")),
        "change": change["mean"] if change else None,
        "low": change["low"] if change else None,
        "high": change["high"] if change else None,
        "change_text": points(change["mean"], digits) if change else "",
        "interval": interval(change, digits) if change else "",
        "small": facts["n_train"] < SMALL,
        "few_tests": n_test is not None and n_test < SMALL,
        "why_empty": "no test row" if n_test == 0 else "",
        "rows_text": count(facts["n_train"]),
        "tests_text": count(n_test) if n_test is not None else "",
        "bar": None,
    }


def _bar(line: Line, reach: float) -> Bar | None:
    if line["change"] is None or line["low"] is None or line["high"] is None:
        return None

    def place(value: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, value / reach)), 1)

    side = "below" if line["high"] < 0 else "above" if line["low"] > 0 else "around"
    return {"from": place(line["low"]), "to": place(line["high"]), "at": place(line["change"]), "side": side}
