"""Accuracy, or the loss of completions, per class or group against the share removed, for one curve of the sweep at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

from thresher.facts.sweep import GroupCounts, SweepFull, SweepLine
from thresher.report.pictures.numbers import in_percent
from thresher.report.pictures.sweep import Form, curves_of, first_shown, form_of, is_random
from thresher.report.pictures.text import apart, plain
from thresher.report.read import RunFiles
from thresher.selection.request import removed

MOST_GROUPS, MOST_CURVES = 60, 12


class Heat(TypedDict):
    """A heat map as Plotly takes it."""

    type: str
    x: list[str]
    y: list[str]
    z: list[list[float | None]]
    text: list[list[str]]
    zmin: float
    zmax: float
    colorscale: list[tuple[float, str]]
    colorbar: dict[str, object]
    hovertemplate: str


def sweep_groups(files: RunFiles) -> dict[str, object] | None:
    """A heat map of the change to full data, groups by fractions; a menu chooses the curve and the group column."""
    found = files.sweep
    if not found or not found["table"] or not found.get("groups"):
        return None
    curves, form = curves_of(found["table"]), form_of(found)
    shown = [name for name in curves if name in first_shown(curves) or is_random(curves[name][0])]
    shown = [*shown, *(name for name in curves if name not in shown)][:MOST_CURVES]
    traces: list[dict[str, object]] = []
    names, sizes = [], []
    for column, counts in found["groups"].items():
        for name in shown:
            made = heat(column, counts, found["full"], curves[name], form)
            if made is not None:
                traces.append({**made, "visible": not traces})
                names.append(f"{plain(name)} by {plain(column)}")
                sizes.append(len(made["y"]))
    if not traces:
        return None
    height = max(320, min(900, 120 + 16 * max(sizes)))
    return {
        "id": "sweep-groups",
        "title": "Per class and group against the share removed",
        "lead": f"{form.name} of each group minus that of full data, in {unit(form)}; the groups that lose most are at the top. "
        "Groups with few test rows are unreliable: hover to see the number.",
        "traces": traces,
        "layout": {
            "xaxis": {"title": {"text": "rows removed, %"}, "type": "category"},
            "yaxis": {"autorange": "reversed", "type": "category"},
            "margin": {"t": 56},
        },
        "menu": names,
        "height": height,
    }


def heat(
    column: str,
    counts: GroupCounts,
    full: SweepFull,
    lines: Sequence[SweepLine],
    form: Form,
) -> Heat | None:
    """Groups by fractions of one curve; `counts` holds value, n_train and n_test of each group, in the order of the rest."""
    if column not in full["groups"] or any(column not in line.get("groups", {}) for line in lines):
        return None
    # With floors, several requested shares can give the same rows.
    lines = list({removed(line["fraction"], line["n"], full["n"]): line for line in lines}.values())
    before = full["groups"][column][form.metric]
    after = [line["groups"][column][form.metric] for line in lines]  # (fractions, groups)
    changes = {
        place: [None if (reached := one[place]) is None else form.value(reached - level) for one in after]
        for place, (tested, level) in enumerate(zip(counts["n_test"], before, strict=True))
        if tested and level is not None
    }
    known = {place: [one for one in row if one is not None] for place, row in changes.items()}
    # Accuracy is worse where it falls, and a loss where it rises.
    worse = -1 if form.metric == "loss" else 1
    worst = sorted(changes, key=lambda place: min((worse * one for one in known[place]), default=0.0))
    worst = worst[:MOST_GROUPS]
    largest = max((abs(one) for place in worst for one in known[place]), default=0.0) or 1.0
    ends = ("--bad", "--accent")[::worse]
    labels = apart(counts["value"], 28)
    texts = [
        f"{plain(counts['value'][place], 80)}: {counts['n_train'][place]:,} training rows, {counts['n_test'][place]:,} test rows"
        for place in worst
    ]
    return {
        "type": "heatmap",
        "x": [f"{in_percent(removed(line['fraction'], line['n'], full['n'])):g}" for line in lines],
        "y": [labels[place] for place in worst],
        "z": [changes[place] for place in worst],
        "text": [[text] * len(lines) for text in texts],
        "zmin": -largest,
        "zmax": largest,
        "colorscale": [(0, ends[0]), (0.5, "--card"), (1, ends[1])],
        "colorbar": {"title": {"text": unit(form), "side": "right"}, "thickness": 10, "outlinewidth": 0},
        "hovertemplate": f"%{{text}}<br>%{{x}}% removed: %{{z:+.{form.digits - 1}f}} {unit(form)}<extra></extra>",
    }


def unit(form: Form) -> str:
    """Of a change."""
    return "nats" if form.metric == "loss" else "points"
