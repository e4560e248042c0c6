"""The training arms of a comparison as figures: points and intervals as positions on a common axis, in percent of its width."""

from __future__ import annotations

import math
from collections.abc import Sequence

from thresher.facts.comparison import ComparisonFacts, Metric
from thresher.facts.figures import Bounds
from thresher.facts.scores import SelectionFacts
from thresher.report.format import count, digits_for, interval, percent, points

ARMS = {"full": "Full data", "kept": "Kept rows", "random": "Random rows"}
METRICS: dict[Metric, str] = {"accuracy": "Accuracy", "macro_f1": "Macro-F1"}
DIFFERENCES = {
    "kept-full": "Kept − full data",
    "random-full": "Random − full data",
    "kept-random": "Kept − random",
}


def axis(values: Sequence[float], ticks: int = 4) -> tuple[float, float, list[float]]:
    """Ends of an axis that covers all values, and round numbers on it for the ticks.

    >>> axis([0.841, 0.858])
    (0.84, 0.86, [0.84, 0.845, 0.85, 0.855, 0.86])
    """
    low, high = min(values), max(values)
    rough = max(high - low, 1e-4) / ticks
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next((nice for nice in (1, 2, 5) if nice * unit >= rough * 0.999), 10)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    marks = [round(index * step, 10) for index in range(first, last + 1)]
    return marks[0], marks[-1], marks


def place(value: float, low: float, high: float) -> float:
    """The position of a value between two ends, in percent; a value outside is placed at the nearer end.

    >>> place(0.5, 0, 2), place(9, 0, 2)
    (25.0, 100.0)
    """
    return round(100 * min(max((value - low) / ((high - low) or 1.0), 0.0), 1.0), 2)


def arms_figure(entry: ComparisonFacts, metric: Metric) -> dict[str, object]:
    """Seeds, mean and standard deviation of each arm."""
    found = {arm: entry["arms"][arm][metric] for arm in ARMS}
    spread = [value["mean"] + sign * value["std"] for value in found.values() for sign in (-1, 1)]
    low, high, marks = axis([*spread, *(seed for value in found.values() for seed in value["values"])])
    digits = 2 if marks[1] - marks[0] < 0.001 else 1 if marks[1] - marks[0] < 0.01 else 0
    return {
        "ticks": [{"at": place(mark, low, high), "text": percent(mark, digits)} for mark in marks],
        "rows": [
            {
                "arm": arm,
                "name": ARMS[arm],
                "n_train": count(entry["arms"][arm]["n_train"]),
                "mean": percent(value["mean"], 2),
                "std": f"± {100 * value['std']:.2f}",
                "at": place(value["mean"], low, high),
                "from": place(value["mean"] - value["std"], low, high),
                "to": place(value["mean"] + value["std"], low, high),
                "points": [
                    {
                        "at": place(seed, low, high),
                        "shift": _shift(index, len(value["values"])),
                        "text": percent(seed, 2),
                    }
                    for index, seed in enumerate(value["values"])
                ],
            }
            for arm, value in found.items()
        ],
    }


def _shift(index: int, number: int) -> float:
    # Seeds of nearly equal outcome stay apart: each has a height of its own, within 8 px of the line.
    return round(16 * (index / (number - 1) - 0.5), 1) if number > 1 else 0.0


def differences_figure(entry: ComparisonFacts, metric: Metric) -> dict[str, object]:
    """The differences between arms, each with its interval, on an axis that holds zero."""
    found = {name: entry["differences"][name][metric] for name in DIFFERENCES}
    low, high, marks = axis(
        [0.0, *(end for value in found.values() for end in (value["low"], value["high"]))]
    )
    digits = 2 if marks[1] - marks[0] < 0.001 else 1 if marks[1] - marks[0] < 0.01 else 0
    return {
        "zero": place(0, low, high),
        "ticks": [{"at": place(mark, low, high), "text": points(mark, digits)} for mark in marks],
        "rows": [
            {
                "key": name,
                "arm": name.partition("-")[0],
                "name": DIFFERENCES[name],
                "mean": points(value["mean"], digits_for(value)),
                "interval": interval(value, digits_for(value)),
                "at": place(value["mean"], low, high),
                "from": place(value["low"], low, high),
                "to": place(value["high"], low, high),
            }
            for name, value in found.items()
        ],
    }


def arms_table(entry: ComparisonFacts) -> list[dict[str, object]]:
    """Per arm: rows, seeds, and per metric mean ± standard deviation and the differences to full data and to random rows."""
    return [
        {
            "arm": arm,
            "name": name,
            "n_train": count(entry["arms"][arm]["n_train"]),
            "metrics": [_metric_cells(entry, arm, metric) for metric in METRICS],
        }
        for arm, name in ARMS.items()
    ]


def _metric_cells(entry: ComparisonFacts, arm: str, metric: Metric) -> dict[str, str]:
    found = entry["arms"][arm][metric]
    return {
        "name": METRICS[metric],
        "mean": f"{percent(found['mean'], 2)} ± {100 * found['std']:.2f}",
        "seeds": ", ".join(f"{100 * seed:.2f}" for seed in found["values"]),
        "full": _difference(entry, f"{arm}-full", metric),
        "random": _difference(entry, f"{arm}-random", metric),
    }


def _difference(entry: ComparisonFacts, name: str, metric: Metric) -> str:
    """A difference with its interval; that of full data to random rows is the measured one with its sign reversed."""
    if name == "full-random":
        reversed_ = entry["differences"]["random-full"][metric]
        found: Bounds = {
            "mean": -reversed_["mean"],
            "low": -reversed_["high"],
            "high": -reversed_["low"],
        }
    elif name in entry["differences"]:
        found = entry["differences"][name][metric]
    else:
        return ""
    return f"{points(found['mean'], 2)} {interval(found, 2)}"


def compared_table(
    compared: dict[str, ComparisonFacts], names: dict[str, SelectionFacts]
) -> list[dict[str, str]]:
    """Every selection in the run folder, with its result if it was compared."""
    lines = []
    for name, facts in names.items():
        entry = compared.get(name)
        lines.append(
            {
                "name": name,
                "removed": percent(1 - facts["n_kept"] / facts["n_rows"]) if facts.get("n_rows") else "",
                "accuracy": percent(entry["arms"]["kept"]["accuracy"]["mean"], 2) if entry else "",
                "full": _difference(entry, "kept-full", "accuracy") if entry else "",
                "random": _difference(entry, "kept-random", "accuracy") if entry else "",
            }
        )
    return lines
