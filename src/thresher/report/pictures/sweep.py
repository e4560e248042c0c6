"""Accuracy against the share removed: the paper's figure 1."""

from __future__ import annotations

from collections.abc import Sequence

from thresher.facts import Bounds, SweepFull, SweepLine
from thresher.report.format import ABSENT, interval, points
from thresher.report.pictures.numbers import in_percent
from thresher.report.pictures.text import plain
from thresher.report.read import USUAL, RunFiles
from thresher.selection.request import removed

COLOURS = 8
DASHES = {"easy": "solid", "hard": "dash", "random": "dot"}
FIRST_SHOWN = 6
LAYOUT: dict[str, object] = {
    "xaxis": {"title": {"text": "rows removed, %"}, "rangemode": "tozero"},
    "yaxis": {"title": {"text": "test accuracy, %"}},
    "hovermode": "closest",
}


def sweep(files: RunFiles) -> dict[str, object] | None:
    """A curve per training arm, with random rows and their standard deviation as a band, and full data as a line."""
    found = files.sweep
    if not found or not found["table"]:
        return None
    curves = curves_of(found["table"])
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
            "y": [in_percent(full["accuracy"]["mean"])] * 2,
            "line": {"color": "--full", "width": 1.5, "dash": "longdash"},
            "hovertemplate": f"full data: %{{y:.2f}}% ± {in_percent(full['accuracy']['std']):.2f}, "
            f"{full['seeds']} seeds<extra></extra>",
        }
    ]
    for name in random:
        traces += band(curves[name], full)
    for name, lines in curves.items():
        colour = "--random" if name in random else colours[lines[0]["score"]]
        traces.append(curve(name, lines, full, colour, visible=name in random or name in first))
    return {
        "id": "sweep",
        "title": "Accuracy against the share removed",
        "lead": f"Test accuracy after training on the kept rows; points are means of {listed(seeds)} seeds. Solid lines drop "
        "the easy end, dashed lines the hard end; the band is one standard deviation of as many random rows. Click an entry of "
        "the legend to show or hide its curve.",
        "traces": traces,
        "layout": LAYOUT,
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
    name: str, lines: Sequence[SweepLine], full: SweepFull, colour: str, visible: bool
) -> dict[str, object]:
    """One curve, starting at full data; the hover text has the exact figures."""
    texts = [
        f"{plain(name)}<br>{in_percent(removed(line['fraction'], line['n'], full['n'])):g}% removed, {line['n']:,} rows left, "
        f"{line['seeds']} seeds, {line['steps']:,} steps"
        f"<br>accuracy {in_percent(line['accuracy']['mean']):.2f}% ± {in_percent(line['accuracy']['std']):.2f}"
        f"<br>to full {difference(line.get('to_full'))}"
        + ("" if is_random(line) else f"<br>to random {difference(line.get('to_random'))}")
        for line in lines
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": plain(name),
        "x": [0.0, *(in_percent(removed(line["fraction"], line["n"], full["n"])) for line in lines)],
        "y": [
            in_percent(full["accuracy"]["mean"]),
            *(in_percent(line["accuracy"]["mean"]) for line in lines),
        ],
        "text": ["full data", *texts],
        "line": {"color": colour, "width": 2, "dash": DASHES.get(lines[0]["end"] or "random", "dot")},
        "marker": {"size": [0, *[6] * len(lines)], "color": colour},
        "visible": True if visible else "legendonly",
        "hovertemplate": "%{text}<extra></extra>",
    }


def band(lines: Sequence[SweepLine], full: SweepFull) -> list[dict[str, object]]:
    """One standard deviation of random rows to either side, as an area."""
    means = [
        (0.0, full["accuracy"]),
        *((removed(line["fraction"], line["n"], full["n"]), line["accuracy"]) for line in lines),
    ]
    edges = [[in_percent(found["mean"] + sign * found["std"]) for _, found in means] for sign in (1, -1)]
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


def difference(found: Bounds | None) -> str:
    """A difference in points with its interval."""
    return f"{points(found['mean'], 2)} {interval(found, 2)} points" if found else ABSENT


def listed(seeds: Sequence[int]) -> str:
    """The numbers of seeds.

    >>> listed([3]), listed([3, 5])
    ('3', '3 to 5')
    """
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
