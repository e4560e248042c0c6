"""The figures of the page: positions on common axes, in percent of their width, drawn without a script."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from thresher.facts.figures import Bounds
from thresher.nlu.study.facts import Technique
from thresher.report.arms import axis, place
from thresher.report.format import count, interval, known, percent, points, score_value

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
SCORES = {
    "vog": "VoG, as measured",
    "vog_class": "VoG, class-normalised",
    "vog_dataset": "VoG, dataset-normalised",
    "trail_entropy": "Slot-trail entropy of the row's intent",
}
METRICS = ("DCER", "F-SEMER", "ICER", "IRER")


def relative(value: float | None) -> str:
    """A relative error in percent, always with its sign.

    >>> relative(0.0294), relative(None)
    ('+2.94%', '–')
    """
    return f"{points(value, 2)}%" if value is not None and known(value) else "–"


def errors_figure(entries: Sequence[Technique], metric: str) -> dict[str, object]:
    """The relative error of every technique with its interval, on one axis that includes zero."""
    found = [entry["metrics"][metric] for entry in entries]
    ends = [value[end] for value in found for end in ("low", "high", "mean") if known(value[end])]
    low, high, marks = axis([0.0, *ends])
    return {
        "metric": metric,
        "zero": place(0.0, low, high),
        "ticks": [{"at": place(mark, low, high), "text": f"{points(mark, 0)}%"} for mark in marks],
        "rows": [
            {
                "name": name_of(entry),
                "arm": "random" if entry["technique"] in ("random", "stratified") else "kept",
                "mean": relative(value["mean"]),
                "interval": interval(value, 2),
                "at": place(value["mean"], low, high),
                "from": place(value["low"], low, high),
                "to": place(value["high"], low, high),
            }
            for entry, value in zip(entries, found, strict=True)
            if known(value["mean"]) and known(value["low"])
        ],
    }


def name_of(entry: Technique) -> str:
    """The name of a technique and the share that it removes of the rows that may be pruned."""
    where = " (historical rows of the mix)" if entry["pool"] == "mixed" else ""
    return f"{entry['title']}{where} −{percent(entry['prune'], 0)}"


def sigma_figure(entries: Sequence[Technique], metric: str) -> dict[str, object]:
    """Data-score efficiency of every technique, as bars from zero."""
    values = [entry["sigma"][metric] for entry in entries]
    low, high, marks = axis([0.0, *(value for value in values if known(value))])
    return {
        "metric": metric,
        "zero": place(0.0, low, high),
        "ticks": [
            {"at": place(mark, low, high), "text": f"{mark:+.0f}".replace("-", "−") if mark else "0"}
            for mark in marks
        ],
        "rows": [
            {
                "name": name_of(entry),
                "text": f"{value:+.1f}".replace("-", "−"),
                "from": min(place(value, low, high), place(0.0, low, high)),
                "to": max(place(value, low, high), place(0.0, low, high)),
                "side": "good" if value > 0 else "bad",
            }
            for entry, value in zip(entries, values, strict=True)
            if known(value)
        ],
    }


def distributions(scores: pl.DataFrame) -> list[dict[str, object]]:
    """Per score, the quantiles of every domain as a box on one axis, with median, mean and standard deviation as text."""
    figures: list[dict[str, object]] = []
    for name, title in SCORES.items():
        if name not in scores.columns:
            continue
        low, high = (float(scores[name].quantile(end, "linear") or 0.0) for end in (0.01, 0.99))
        rows = []
        for (domain,), own in sorted(scores.group_by("domain"), key=lambda item: str(item[0][0])):
            values = own[name]
            cuts = [float(values.quantile(end, "linear") or 0.0) for end in QUANTILES]
            spread = [float(one or 0.0) for one in (cuts[2], values.mean(), values.std())]  # type: ignore[arg-type]
            rows.append(
                {
                    "domain": str(domain),
                    "n": count(own.height),
                    "places": [place(cut, low, high) for cut in cuts],
                    "mean_at": place(float(values.mean() or 0.0), low, high),  # type: ignore[arg-type]
                    # The mean of a normalised score is zero up to rounding.
                    "text": [score_value(one if abs(one) > 1e-9 * (high - low) else 0.0) for one in spread],
                }
            )
        figures.append(
            {"name": name, "title": title, "low": score_value(low), "high": score_value(high), "rows": rows}
        )
    return figures


def domain_table(entries: Sequence[Technique], metric: str) -> dict[str, object]:
    """Per domain the share that every technique removes, and its relative error."""
    names = sorted(entries[0]["domains"]) if entries else []
    lines = []
    for domain in names:
        facts = [entry["domains"][domain] for entry in entries]
        cells = []
        for one in facts:
            found = one.get("metrics", {}).get(metric)
            cells.append(
                {
                    "removed": percent(one["removed"], 0),
                    "share": round(100 * one["removed"], 1),
                    "error": relative(found["mean"]) if found else "–",
                    "interval": interval(found, 2) if found else "",
                    "side": _side(found),
                }
            )
        lines.append(
            {"domain": domain, "n_train": facts[0]["n_train"], "n_test": facts[0]["n_test"], "cells": cells}
        )
    return {"metric": metric, "names": [name_of(entry) for entry in entries], "lines": lines}


def _side(found: Bounds | None) -> str:
    """Whether an interval lies entirely above zero (worse), below zero (better), or includes it."""
    if found is None or not known(found["low"]) or found["low"] <= 0 <= found["high"]:
        return "around"
    return "worse" if found["low"] > 0 else "better"


def headline(entries: Sequence[Technique]) -> dict[str, object] | None:
    """The first technique of the plan at the largest share, with random rows for comparison.

    Not the technique with the fewest errors: the best of many on the test rows is partly luck.
    """
    own = [entry for entry in entries if entry["pool"] == "historical"]
    if not own:
        return None
    deepest = max(entry["prune"] for entry in own)
    there = [entry for entry in own if entry["prune"] == deepest]
    random = next((entry for entry in there if entry["technique"] == "random"), None)
    others = [entry for entry in there if entry["technique"] not in ("random", "stratified")]
    shown = (others or there)[0]
    beside = shown["beside random"].get("DCER")
    return {
        "removed": percent(shown["removed"], 0),
        "title": shown["title"],
        "error": relative(shown["metrics"]["DCER"]["mean"]),
        "interval": interval(shown["metrics"]["DCER"], 2),
        "random": relative(random["metrics"]["DCER"]["mean"]) if random else None,
        "random_interval": interval(random["metrics"]["DCER"], 2) if random else None,
        "beside": f"{relative(beside['mean'])} {interval(beside, 2)}" if beside else None,
    }
