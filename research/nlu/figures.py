"""Make the tables of nlu.md: `python -m research.nlu.figures [[--frozen] STUDY]`.

With STUDY (a folder written by `thresher nlu study`) its figures are first copied into nlu.json; with `--frozen` they
are stored as the second set, of stacks on a frozen encoder. Without STUDY the page is made from the existing nlu.json."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from research.benchmarks.record import machine
from research.benchmarks.render import filled, table
from thresher.nlu.ab import Traffic, compare_logs, replay
from thresher.nlu.ab.replay import judged

Figures = dict[str, Any]
FIGURES, PAGE = (Path(__file__).with_name(name) for name in ("nlu.json", "nlu.md"))
METRICS = ("DCER", "F-SEMER", "ICER", "IRER")
# Relative errors in percent, in the order of METRICS. Source: Anand et al., EMNLP 2023, table 2.
PAPER: dict[tuple[str, float], tuple[float, float, float, float]] = {
    ("random", 0.52): (6.04, 5.56, 5.26, 4.98),
    ("stratified", 0.52): (5.23, 5.14, 4.87, 4.92),
    ("vog-class", 0.52): (5.48, 5.08, 5.20, 4.40),
    ("vog-dataset", 0.52): (2.94, 3.65, 3.18, 3.34),
    ("vog-class", 0.46): (3.62, 3.77, 3.63, 3.39),
    ("vog-dataset", 0.46): (1.52, 2.20, 1.72, 2.09),
    ("vog-dataset", 0.14): (0.53, 1.02, 0.53, 0.97),
}
REPLAYED = ("vog-dataset", 0.52)


def results_of(study: Path) -> Figures:
    """Settings, machine and results of a study folder."""
    facts, results = (
        json.loads((study / f"{name}.json").read_text(encoding="utf-8")) for name in ("study", "results")
    )
    for entry in results["techniques"]:
        for one in entry["domains"].values():
            one["metrics"] = {
                name: one["metrics"][name] for name in ("DCER", "IRER") if name in one.get("metrics", {})
            }
    return {**facts, "machine": machine(), **results}


def collect(study: Path) -> Figures:
    """The figures of fine-tuned stacks, and of domain classifiers alone."""
    alone = study / "domains.json"
    more = json.loads(alone.read_text(encoding="utf-8")) if alone.is_file() else []
    return rounded({**results_of(study), "domains alone": more})


def rounded(value: Any) -> Any:
    """Numbers with five digits, for a small file."""
    if isinstance(value, dict):
        return {name: rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [rounded(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def online(study: Path) -> Figures:
    """A replay of the stack on all rows (A) and of the pruned one (B), first sample of both."""
    found = {}
    for file in (study / "cells").glob("*.json"):
        cell = json.loads(file.read_text(encoding="utf-8"))
        if cell["sample"] == 0 and cell["pool"] == "historical":
            found[cell["technique"], cell["prune"]] = file.with_suffix(".parquet")
    rows = pl.read_parquet(study / "test.parquet")
    arms = [judged(rows, pl.read_parquet(found[name])) for name in (("full", 0.0), REPLAYED)]
    log_a, log_b, about = replay(rows, arms[0], arms[1], Traffic())
    return {**compare_logs(log_a, log_b, threshold=0.3), "about": about}


def signed(value: float | None) -> str:
    """A relative error in percent."""
    return "" if value is None else f"{100 * value:+.2f}"


def interval(found: Figures) -> str:
    """A relative error in percent with its interval."""
    return f"{signed(found['mean'])} [{signed(found['low'])}, {signed(found['high'])}]"


def spread(found: Figures) -> str:
    """An error rate in percent, and its standard deviation over the samples."""
    mean = f"{100 * found['mean']:.2f}"
    return mean if found["std"] is None else f"{mean} ± {100 * found['std']:.2f}"


def share(prune: float) -> str:
    """How tables call a share that is removed."""
    return f"−{100 * prune:.0f}%"


def full(figures: Figures) -> str:
    """Error rates of the stacks on all rows."""
    names = ("DCER", "ICER", "SEMER", "F-SEMER", "IRER", "slot F1")
    lines = []
    for pool, found in figures["full"].items():
        trained = "all rows" if pool == "historical" else "all rows and the synthetic ones"
        tests = {"all test rows": found["metrics"], **found["tests"]}
        for test, rates in tests.items():
            cells = [spread(rates[name]) for name in names]
            lines.append([trained, f"{found['n_train']:,}", test, *cells])
    return table(["trained on", "rows", "tested on", *names], lines)


def table2(figures: Figures) -> str:
    """The paper's table 2 and ours."""
    lines = []
    for entry in sorted(figures["techniques"], key=lambda one: (one["pool"], -one["prune"])):
        if entry["pool"] != "historical":
            continue
        theirs = PAPER.get((entry["technique"], entry["prune"]))
        found = entry["metrics"]
        lines.append(
            [
                share(entry["prune"]),
                entry["title"],
                str(found["DCER"]["samples"]),
                *(interval(found[name]) for name in METRICS),
                f"{entry['sigma']['DCER']:+.1f}",
                " / ".join(f"{value:+.2f}" for value in theirs) if theirs else "",
            ]
        )
    head = ["removed", "technique", "samples", *(f"Δ{name} %" for name in METRICS)]
    return table([*head, "σ of DCER", "the paper: Δ" + " / Δ".join(METRICS)], lines)


def targets(figures: Figures) -> str:
    """What was to be reached, by dataset-normalised VoG, and what was."""
    arms = {(one["technique"], one["prune"], one["pool"]): one for one in figures["techniques"]}
    deep, less = (arms["vog-dataset", prune, "historical"] for prune in (0.52, 0.46))
    dcer, beside, irer = deep["metrics"]["DCER"], deep["beside random"]["DCER"], less["metrics"]["IRER"]
    mean = "reached" if dcer["high"] < 0.0294 else "on average, and the interval holds the paper's"
    below = "reached" if beside["high"] < 0 else "on average, and the interval includes zero"
    lines = [
        ["ΔDCER at −52% below the paper's +2.94%", interval(dcer), mean if dcer["mean"] < 0.0294 else "**missed**"],
        ["DCER at −52% below random, relative to random", interval(beside), below if beside["mean"] < 0 else "**missed**"],
        ["IRER at −46% not above all rows", interval(irer), "reached" if irer["mean"] <= 0 else "**missed**"],
    ]  # fmt: skip
    return table(["target", "measured, % [95%]", ""], lines)


def alone(figures: Figures) -> str:
    """DCER of more techniques, by the domain classifier alone."""
    lines = []
    for one in figures["domains alone"]:
        theirs = PAPER.get((one["technique"], one["prune"]))
        lines.append(
            [
                share(one["prune"]),
                one["title"],
                str(one["DCER"]["samples"]),
                interval(one["DCER"]),
                f"{one['sigma']:+.1f}",
                interval(one["beside random"]) if "beside random" in one else "",
                f"{theirs[0]:+.2f}" if theirs else "",
            ]
        )
    head = [
        "removed",
        "technique",
        "samples",
        "ΔDCER %",
        "σ of DCER",
        "relative to random, %",
        "the paper: ΔDCER",
    ]
    return table(head, lines)


def beside_random(figures: Figures) -> str:
    """Every technique relative to as many random rows."""
    lines = [
        [
            share(entry["prune"]) + (" of the historical rows" if entry["pool"] == "mixed" else ""),
            entry["title"],
            *(interval(entry["beside random"][name]) for name in METRICS),
        ]
        for entry in figures["techniques"]
        if entry["beside random"]
    ]
    return table(["removed", "technique", *(f"{name}, relative to random, %" for name in METRICS)], lines)


def mixed(figures: Figures) -> str:
    """Mixed sources: relative errors, and the mix before and after."""
    lines = []
    for entry in figures["techniques"]:
        if entry["pool"] == "mixed":
            mix = {one["value"]: one for one in entry["sources"]}
            before, after = ({name: one[key] for name, one in mix.items()} for key in ("rows", "kept"))
            shares = [
                f"{side['historical']:,} / {side['synthetic']:,} ({side['synthetic'] / sum(side.values()):.0%} synthetic)"
                for side in (before, after)
            ]
            samples = str(entry["metrics"]["DCER"]["samples"])
            lines.append(
                [entry["title"], samples, *shares, *(interval(entry["metrics"][name]) for name in METRICS)]
            )
    head = ["historical rows pruned by", "samples", "historical / synthetic before", "after"]
    return table([*head, *(f"Δ{name} %" for name in METRICS)], lines)


def by_domain(figures: Figures) -> str:
    """Per domain: rows, test rows, the share that every technique removes at the deepest cut, and two relative errors."""
    deepest = max(entry["prune"] for entry in figures["techniques"])
    used = [one for one in figures["techniques"] if one["prune"] == deepest and one["pool"] == "historical"]
    lines = []
    for domain, first in sorted(used[0]["domains"].items(), key=lambda item: -item[1]["n_train"]):
        cells = []
        for entry in used:
            one = entry["domains"][domain]
            errors = [
                signed(one["metrics"][name]["mean"]) for name in ("DCER", "IRER") if name in one["metrics"]
            ]
            cells.append(f"{100 * one['removed']:.0f}%: {' / '.join(errors)}")
        lines.append([domain, f"{first['n_train']:,}", f"{first['n_test']:,}", *cells])
    return table(["domain", "rows", "test rows", *(entry["title"] for entry in used)], lines)


def scores(figures: Figures) -> str:
    """Per domain: median, mean and standard deviation of VoG as measured and under either norm."""
    names = {"vog": "VoG", "vog_class": "class-normalised", "vog_dataset": "dataset-normalised"}
    lines = []
    for one in sorted(figures["scores"], key=lambda row: -row["vog_dataset median"]):
        form = {"vog": "{:.3g}", "vog_class": "{:+.2f}", "vog_dataset": "{:+.2f}"}
        cells = [
            " / ".join(form[name].format(one[f"{name} {kind}"]) for kind in ("median", "mean", "std"))
            for name in names
        ]
        lines.append([one["domain"], f"{one['rows']:,}", *cells])
    return table(["domain", "rows", *(f"{title}: median / mean / sd" for title in names.values())], lines)


def entropy(figures: Figures) -> str:
    """The paper's table 10 with our rows."""
    lines = [
        [
            one["domain"],
            f"{one['rows']:,}",
            str(one["intents"]),
            *(
                f"{one[name]:.1f}"
                for name in ("intent_entropy", "trail_entropy", "mean_intent_trail_entropy")
            ),
        ]
        for one in figures["entropy"]
    ]
    head = [
        "domain",
        "rows",
        "intents",
        "intent entropy, bits",
        "slot-trail entropy, bits",
        "mean H(intent), bits",
    ]
    return table(head, lines)


def simulated(figures: Figures) -> str:
    """The A/B table of the replay."""
    found = figures["online"]
    paper = {
        "UER": "−1.18 [−2.00, −0.35]",
        "PDR": "+0.45 [−0.18, +1.09]",
        "PDR-tail": "+0.56 [+0.003, +1.09]",
    }
    lines = [
        [
            name,
            f"{100 * one['a']:.2f}",
            f"{100 * one['b']:.2f}",
            f"{signed(one['change'])} [{signed(one['low'])}, {signed(one['high'])}]",
            "< 0.001" if one["p"] < 0.001 else f"{one['p']:.3f}",
            paper.get(name, ""),
        ]
        for name, one in found["metrics"].items()
    ]
    wrong = found["about"]["wrong"]
    change = signed(wrong["b"] / wrong["a"] - 1)
    lines.append(
        ["first answer wrong", f"{100 * wrong['a']:.2f}", f"{100 * wrong['b']:.2f}", change, "", "not known"]
    )
    head = [
        "SIMULATION",
        "A: all rows, %",
        "B: pruned, %",
        "relative change, % [95%]",
        "p",
        "the paper's users",
    ]
    return table(head, lines)


TABLES: dict[str, Callable[[Figures], str]] = {
    "full": full,
    "table2": table2,
    "alone": alone,
    "targets": targets,
    "random": beside_random,
    "mixed": mixed,
    "domains": by_domain,
    "scores": scores,
    "entropy": entropy,
    "online": simulated,
}


# The tables that the page has of the frozen stacks, too.
FROZEN = ("full", "table2", "random", "targets", "mixed", "domains")


def pages() -> dict[Path, str]:
    """nlu.md with its tables made from nlu.json."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    text = PAGE.read_text(encoding="utf-8")
    for mark, make in TABLES.items():
        text = filled(text, mark, make(figures))
    for mark in FROZEN if "frozen" in figures else ():
        text = filled(text, f"frozen-{mark}", TABLES[mark](figures["frozen"]))
    return {PAGE: text}


def main(arguments: list[str]) -> None:
    """Copy the figures of a study into nlu.json if one is named, then write the page."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    if arguments[:1] == ["--frozen"]:
        figures |= rounded({"frozen": results_of(Path(arguments[1])), "online": online(Path(arguments[1]))})
    elif arguments:
        figures |= collect(Path(arguments[0]))
    FIGURES.write_text(json.dumps(figures, ensure_ascii=False) + "\n", encoding="utf-8")
    for place, content in pages().items():
        place.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
