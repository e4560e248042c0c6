"""Accuracy, or the loss of completions, against the share removed: the paper's figure 1."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from thresher.facts.figures import Bounds, Spread
from thresher.facts.sweep import SweepArms, SweepFull, SweepLine
from thresher.report.format import ABSENT, interval, points
from thresher.report.pictures.numbers import in_percent
from thresher.report.pictures.text import plain
from thresher.report.read import USUAL, RunFiles
from thresher.selection.request import removed
from thresher.wording import nats

COLOURS = 8
DASHES = {"easy": "solid", "hard": "dash", "random": "dot"}
FIRST_SHOWN = 6


@dataclass(frozen=True)
class Form:
    """How the metric of a sweep is shown: its name, unit, digits, and times what."""

    metric: Literal["accuracy", "loss"]
    title: str
    name: str
    axis: str
    unit: str
    scale: float
    digits: int

    def value(self, number: float) -> float:
        """A coordinate."""
        return round(self.scale * number, 3 if self.scale > 1 else 5)

    def text(self, found: Spread) -> str:
        mean, std = (f"{self.value(one):.{self.digits}f}" for one in (found["mean"], found["std"]))
        return f"{mean}{self.unit} ± {std}"

    def difference(self, found: Bounds | None) -> str:
        """A difference with its interval."""
        if not found:
            return ABSENT
        if self.metric == "loss":
            return nats(found, " nats").replace("-", "−")
        return f"{points(found['mean'], 2)} {interval(found, 2)} points"


ACCURACY = Form("accuracy", "Accuracy", "Test accuracy", "test accuracy, %", "%", 100, 2)
LOSS = Form("loss", "Held-out loss", "Loss per completion token", "nats per token", "", 1, 3)


def form_of(found: SweepArms) -> Form:
    """How the metric of a sweep is shown."""
    return LOSS if found["metric"] == "loss" else ACCURACY


def layout(form: Form) -> dict[str, object]:
    return {
        "xaxis": {"title": {"text": "rows removed, %"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": form.axis}},
        "hovermode": "closest",
    }


def sweep(files: RunFiles) -> dict[str, object] | None:
    """A curve per training arm, with random rows and their standard deviation as a band, and full data as a line."""
    found = files.sweep
    if not found or not found["table"]:
        return None
    curves, form = curves_of(found["table"]), form_of(found)
    full = found["full"]
    seeds = sorted({line["seeds"] for line in found["table"]})
    random = [name for name, lines in curves.items() if is_random(lines[0])]
    first = first_shown(curves)
    colours = {name: f"--score-{i % COLOURS}" for i, name in enumerate(score_names(curves))}
    ends = [0.0, max(removed(line["fraction"], line["n"], full["n"]) for line in found["table"])]
    traces: list[dict[str, object]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "full data",
            "x": [in_percent(one) for one in ends],
            "y": [form.value(full[form.metric]["mean"])] * 2,
            "line": {"color": "--full", "width": 1.5, "dash": "longdash"},
            "hovertemplate": f"full data: {form.text(full[form.metric])}, {full['seeds']} seeds<extra></extra>",
        }
    ]
    for name in random:
        traces += band(curves[name], full, form)
    for name, lines in curves.items():
        colour = "--random" if name in random else colours[lines[0]["score"]]
        traces.append(curve(name, lines, full, form, colour, visible=name in random or name in first))
    return {
        "id": "sweep",
        "title": f"{form.title} against the share removed",
        "lead": f"{form.name} after training on the kept rows; points are means of {listed(seeds)} seeds. Solid lines drop "
        "the easy end, dashed lines the hard end; the band is one standard deviation of as many random rows. Click an entry of "
        "the legend to show or hide its curve.",
        "traces": traces,
        "layout": layout(form),
        "height": 520,
    }


def curves_of(table: Sequence[SweepLine]) -> dict[str, list[SweepLine]]:
    """The lines of a sweep by curve, each in the order of its fractions."""
    curves: dict[str, list[SweepLine]] = {}
    for line in sorted(table, key=lambda line: float(line["fraction"])):
        curves.setdefault(title(line), []).append(line)
    return curves


def title(line: SweepLine) -> str:
    """The name of a curve.

    >>> line = {"score": "vog", "normalise": "class", "end": "easy", "strategy": "cutoff", "options": {}, "same_steps": False}
    >>> title(line), title({**line, "strategy": "window", "options": {"beta": 0.1}, "same_steps": True})
    ('vog (class), easy', 'vog (class), easy, window beta=0.1, same steps')
    """
    steps = ["same steps"] if line["same_steps"] else []
    if is_random(line):
        return ", ".join(["random rows", *steps])
    form = line.get("normalise") or "raw"
    score = line["score"] or "no score"
    words = [score if form == "raw" else f"{score} ({form})", line["end"] or ""]
    if line["strategy"] != "cutoff":
        options = " ".join(f"{name}={value}" for name, value in (line["options"] or {}).items())
        words.append(f"{line['strategy']} {options}".strip())
    return ", ".join(word for word in [*words, *steps] if word)


def is_random(line: SweepLine) -> bool:
    """Whether the rows of a line were drawn at random."""
    return line["strategy"] == "random"


def score_names(curves: dict[str, list[SweepLine]]) -> list[str | None]:
    """The paper's scores first, so that they keep their colours."""
    names = {lines[0]["score"] for lines in curves.values()}
    return [*USUAL, *sorted(name for name in names - set(USUAL) if name is not None), None]


def first_shown(curves: dict[str, list[SweepLine]]) -> set[str]:
    """The easy ends of the paper's scores, or the first few curves if there are none."""
    usual = [
        name for name, lines in curves.items() if lines[0]["score"] in USUAL and lines[0]["end"] == "easy"
    ]
    return set((usual or [name for name, lines in curves.items() if not is_random(lines[0])])[:FIRST_SHOWN])


def curve(
    name: str, lines: Sequence[SweepLine], full: SweepFull, form: Form, colour: str, visible: bool
) -> dict[str, object]:
    """One curve, starting at full data; the hover text has the exact figures."""
    texts = [
        f"{plain(name)}<br>{in_percent(removed(line['fraction'], line['n'], full['n'])):g}% removed, {line['n']:,} rows left, "
        f"{line['seeds']} seeds, {line['steps']:,} steps"
        f"<br>{form.metric} {form.text(line[form.metric])}"
        f"<br>to full {form.difference(line.get('to_full'))}"
        + ("" if is_random(line) else f"<br>to random {form.difference(line.get('to_random'))}")
        for line in lines
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(name),
        "x": [0.0, *(in_percent(removed(line["fraction"], line["n"], full["n"])) for line in lines)],
        "y": [form.value(one[form.metric]["mean"]) for one in (full, *lines)],
        "text": ["full data", *texts],
        "line": {"color": colour, "width": 2, "dash": DASHES.get(lines[0]["end"] or "random", "dot")},
        "marker": {"size": [0, *[6] * len(lines)], "color": colour},
        "visible": True if visible else "legendonly",
        "hovertemplate": "%{text}<extra></extra>",
    }


def band(lines: Sequence[SweepLine], full: SweepFull, form: Form) -> list[dict[str, object]]:
    """One standard deviation of random rows to either side, as an area."""
    means = [
        (0.0, full[form.metric]),
        *((removed(line["fraction"], line["n"], full["n"]), line[form.metric]) for line in lines),
    ]
    edges = [[form.value(found["mean"] + sign * found["std"]) for _, found in means] for sign in (1, -1)]
    shared = {
        "type": "scatter",
        "mode": "lines",
        "x": [in_percent(x) for x, _ in means],
        "line": {"width": 0, "color": "--random"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    return [
        {**shared, "y": edges[0]},
        {**shared, "y": edges[1], "fill": "tonexty", "fillcolor": "--random/0.18"},
    ]


def listed(seeds: Sequence[int]) -> str:
    """The numbers of seeds.

    >>> listed([3]), listed([3, 5])
    ('3', '3 to 5')
    """
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
