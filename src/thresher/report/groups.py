"""Per class and per group: the share removed and the change in accuracy."""

from __future__ import annotations

from typing import Any

import polars as pl

from thresher.report.format import count, digits_for, interval, known, percent, points
from thresher.report.read import RunFiles, Selection

SMALL = 20  # training rows; the paper saw regressions in domains below this
MOST_VALUES = 400


def groups(
    files: RunFiles, selection: Selection | None, entry: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The lines of the table, largest loss first; None if nothing was selected.

    Returns
    -------
    `lines`; `names` of the group columns (the label first) and `label`, the label's own name; `omitted` {group: values beyond
    the 400 largest}; `small`, how many lines are flagged; `measured`, how many have an interval, `below` and `above`, how many
    of those lie entirely below or above zero, and `chance`, how many would exclude zero by chance alone; `reach`, half the
    width of the bars' common scale in points.
    """
    if selection is None or files.rows is None:
        return None
    found = removed_shares(files.rows, selection.table, _columns(files))
    for name, values in (entry or {}).get("groups", {}).items():
        for value, measured in values.items():
            # The comparison counted the same rows; add what it measured.
            found.setdefault(name, {}).setdefault(value, {}).update(measured)
    omitted, lines = {}, []
    for name, values in found.items():
        largest = sorted(values.items(), key=lambda item: -item[1]["n_train"])
        if len(largest) > MOST_VALUES:
            omitted[name] = len(largest) - MOST_VALUES
        lines += [_line(name, value, facts) for value, facts in largest[:MOST_VALUES]]
    lines.sort(key=lambda line: (line["change"] is None, line["change"] or 0.0))
    bounds = sorted(abs(line[end]) for line in lines for end in ("low", "high") if line["change"] is not None)
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
        "below": sum(line["change"] is not None and line["high"] < 0 for line in lines),
        "above": sum(line["change"] is not None and line["low"] > 0 for line in lines),
        "reach": f"{100 * (reach or 0.01):.2g}",
        "chance": round(0.05 * intervals),
    }


def _columns(files: RunFiles) -> dict[str, str]:
    data = files.manifest.config.data
    return {"label": data.label, **{name: name for name in data.groups}}


def removed_shares(
    rows: pl.DataFrame, selected: pl.DataFrame, columns: dict[str, str]
) -> dict[str, dict[str, Any]]:
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


def _line(name: str, value: str, facts: dict[str, Any]) -> dict[str, Any]:
    change = facts.get("kept-full") or {}
    measured = known(change.get("mean")) and known(change.get("low")) and known(change.get("high"))
    digits = digits_for(change) if measured else 1
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
        "change": change["mean"] if measured else None,
        "low": change["low"] if measured else None,
        "high": change["high"] if measured else None,
        "change_text": points(change["mean"], digits) if measured else "",
        "interval": interval(change, digits) if measured else "",
        "small": facts["n_train"] < SMALL,
        "few_tests": n_test is not None and n_test < SMALL,
        "why_empty": "no test row" if n_test == 0 else "",
        "rows_text": count(facts["n_train"]),
        "tests_text": count(n_test) if n_test is not None else "",
    }


def _bar(line: dict[str, Any], reach: float) -> dict[str, Any] | None:
    if line["change"] is None:
        return None

    def place(value: float) -> float:
        return round(50 + 50 * max(-1.0, min(1.0, value / reach)), 1)

    side = "below" if line["high"] < 0 else "above" if line["low"] > 0 else "around"
    return {"from": place(line["low"]), "to": place(line["high"]), "at": place(line["change"]), "side": side}
