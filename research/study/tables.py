"""Make the tables of study.md, fine-tuned.md, label-errors.md and docs/results.md from study.json.

python -m research.study.tables
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from research.benchmarks.render import filled, table
from research.study.noise_tables import cleaning_table, noise_table
from research.study.run import RESULTS
from research.study.suspects_tables import lengths_table, orders_table
from research.study.undertrained import results as undertrained
from research.study.undertrained_tables import undertrained_table
from research.while_training.decision_cost import FIGURES, FROZEN, QUICK
from research.while_training.tables import interval
from thresher.experiments.wording import interval_text

PAGES = (
    *(RESULTS.with_name(f"{page}.md") for page in ("study", "fine-tuned", "label-errors")),
    RESULTS.parents[2] / "docs" / "results.md",
)
# Shares in the table of docs/results.md, and the stages to take them from: the first that has the share.
HEADLINE = (("hwu64", 0.45), ("hwu64", 0.8), ("clinc150", 0.55), ("snli", 0.25))
TRIED = {
    "frozen": ("steps",),
    "3 layers": ("tuned-3-proxy rule", "tuned-3-margin rule"),
    "6 layers": ("tuned-6-proxy rule",),
}
NAMES = {
    "d2": "D2",
    "el2n_mean": "mean EL2N",
    "aum": "AUM",
    "h_score": "H-score",
    "grand": "GraNd",
    "held_out_margin": "held-out margin",
    "ensemble": "rank mean of AUM, mean EL2N and VoG",
}


def is_random(line: dict[str, Any]) -> bool:
    return line["strategy"] == "random"


def rule_table(found: dict[str, Any]) -> str:
    """Per fraction: rows, accuracy of the rule, both less full data, and the rule less random rows."""
    full = found["full"]
    said = (
        f"Full data: {100 * full['accuracy']['mean']:.2f} ± {100 * full['accuracy']['std']:.2f}, {full['n']:,} rows, "
        f"{full['steps']} steps, {full['seeds']} seeds."
    )
    head = ["pruned", "rows", "steps", "rule %"]
    head += ["rule less full [95%]", "random less full [95%]", "rule less random [95%]"]
    lines = []
    random = {line["fraction"]: line for line in found["table"] if is_random(line)}
    for line in found["table"]:
        if not is_random(line):
            other = random[line["fraction"]]
            figures = [line["to_full"], other["to_full"], line["to_random"]]
            cells = [
                f"{line['fraction']:.0%}",
                f"{line['n']:,}",
                f"{line['steps']:,}",
                f"{100 * line['accuracy']['mean']:.2f}",
                *map(interval_text, figures),
            ]
            lines.append(cells)
    return f"{said}\n\n{table(head, lines)}"


def by_source(found: dict[str, Any]) -> str:
    """hwu64 and slurp apart: accuracy less full data, in points."""
    if "source" not in found["full"]:
        return ""
    full = found["full"]["source"]
    said = f"hwu64's own test rows / slurp's (full {100 * full[0]:.2f} / {100 * full[1]:.2f}), accuracy less full, points:"
    lines = []
    for fraction in sorted({line["fraction"] for line in found["table"]}):
        both = {is_random(line): line["source"] for line in found["table"] if line["fraction"] == fraction}
        cells = [
            " / ".join(f"{100 * (a - b):+.2f}" for a, b in zip(both[kind], full, strict=True))
            for kind in (False, True)
        ]
        lines.append([f"{fraction:.0%}", *cells])
    return f"{said}\n\n{table(['pruned', 'rule', 'random'], lines)}"


def single_table(found: dict[str, Any]) -> str:
    """Every score and end: accuracy less full data; bold where it is above random rows for sure."""
    fractions = sorted({line["fraction"] for line in found["table"]})
    rows: dict[str, dict[float, str]] = {}
    for line in found["table"]:
        name = "random"
        if not is_random(line):
            base = line["score"] + (
                "" if line["normalise"] == "raw" else f" ({line['normalise']}-normalised)"
            )
            name = f"{NAMES.get(base, base)}, {line['end']} end"
        if line["strategy"] == "coverage":
            name = "S2L"
        mark = "**" if line["to_random"]["low"] > 0 else ""
        rows.setdefault(name, {})[line["fraction"]] = f"{mark}{100 * line['to_full']['mean']:+.2f}{mark}"
    lines = [[name, *(cells.get(one, "") for one in fractions)] for name, cells in rows.items()]
    return table(["pruned by", *(f"{one:.0%}" for one in fractions)], lines)


def margins_table(sets: dict[str, Any]) -> str:
    """The rule by margins of either kind on validation rows: accuracy less full data, with the standard error over seeds."""
    tables = {name: stages["margins"] for name, stages in sets.items() if "margins" in stages}
    columns = [
        (name, line["fraction"])
        for name, found in tables.items()
        for line in found["table"]
        if is_random(line)
    ]
    kinds = {
        None: "random rows",
        "aum+correctness": "AUM",
        "held_out_margin+correctness": "**held-out margin**",
    }
    lines = []
    for score, said in kinds.items():
        cells = []
        for name, share in columns:
            (line,) = (
                one for one in tables[name]["table"] if one["score"] == score and one["fraction"] == share
            )
            gaps = [
                100 * (mine - full)
                for mine, full in zip(
                    line["accuracy"]["values"], tables[name]["full"]["accuracy"]["values"], strict=True
                )
            ]
            cells.append(f"{np.mean(gaps):+.2f} ± {np.std(gaps, ddof=1) / len(gaps) ** 0.5:.2f}")
        lines.append([said, *cells])
    heads = [f"{name} {share:.0%}" for name, share in columns]
    return table(["validation, accuracy less full data, points", *heads], lines)


def two_views_table(tested: dict[str, Any]) -> str:
    """By one view of a row and by two, three fine-tuned layers, same steps: accuracy less full data, in points."""
    head = [
        "pruned",
        "two views: less full [95%]",
        "less random [95%]",
        "one view: less full",
        "less random",
        "random: less full",
    ]
    lines = []
    for name, stages in tested.items():
        two, one = (stages.get(f"tuned-3-{how} rule", {"table": []})["table"] for how in ("proxy", "margin"))
        before = {line["fraction"]: line for line in one if not is_random(line)}
        random = {line["fraction"]: line for line in two if is_random(line)}
        for line in two:
            if not is_random(line) and (other := before.get(line["fraction"])):
                figures = [line["to_full"], line["to_random"], other["to_full"], other["to_random"]]
                texts = map(interval_text, [*figures, random[line["fraction"]]["to_full"]])
                lines.append([f"{name} {line['fraction']:.0%}", *texts])
    return table(head, lines)


def views_table(sets: dict[str, Any]) -> str:
    """The rule by several views of a row, and variants of it, on validation rows: accuracy less full data, standard error."""
    found = {
        (name, *place.split(" ", 2)): one
        for name, stages in sets.items()
        for place, one in stages.get("views", {}).items()
    }
    columns = sorted({key[:3] for key in found}, key=lambda key: (key[1], key[0], float(key[2])))
    heads = [
        f"{name} {float(fraction):.0%}, {'frozen' if model == 'frozen' else '3 layers'}"
        for name, model, fraction in columns
    ]
    lines = []
    for way in dict.fromkeys(key[3] for key in found):
        have = [found.get((*column, way), {}).get("to_full") for column in columns]
        cells = [f"{one['mean']:+.2f} ± {one['se']:.2f}" if one else "" for one in have]
        lines.append([way, *cells])
    return table(["rows by", *heads], lines)


def lds_table(sets: dict[str, Any]) -> str:
    """Every score and data set: rank correlation of the sum of a half's scores with its accuracy."""
    have = [name for name in sets if "lds" in sets[name]]
    scores = sorted({score for name in have for score in sets[name]["lds"]["hard_is_positive"]})
    lines = []
    for score in scores:
        cells = []
        for name in have:
            one = sets[name]["lds"]["hard_is_positive"].get(score)
            cells.append(f"{one['correlation']:+.2f} [{one['low']:+.2f}, {one['high']:+.2f}]" if one else "")
        lines.append([score, *cells])
    return table(["score", *have], lines)


def stability_table(sets: dict[str, Any]) -> str:
    """Every score and data set: rank correlation between runs, and how many runs an average needs."""
    have = [name for name in sets if "stability" in sets[name]]
    lines = []
    for score in sets[have[0]]["stability"] if have else ():
        found = [sets[name]["stability"][score] for name in have]
        cells = [f"{one['correlation']:.2f} ({one['runs_needed']})" for one in found]
        lines.append([NAMES.get(score, score), *cells])
    return table(["score", *have], lines)


def sizes_table(frozen: dict[str, Any], tuned: dict[str, Any]) -> str:
    """Models of several sizes on hwu64, at the same epochs: the rule by a frozen encoder's scores, and random rows."""
    shares = ("0.45", "0.7")
    gaps = {(line["fraction"], is_random(line)): line["to_full"] for line in frozen["table"]}
    cells = [interval_text(gaps[float(share), random]) for share in shares for random in (False, True)]
    lines = [["frozen, 6 layers (5 seeds)", f"{100 * frozen['full']['accuracy']['mean']:.2f}", *cells]]
    for model, layers, rule in (("tuned-3", 3, FROZEN), ("tuned-6-one", 6, QUICK)):
        ways = tuned[model]["ways"]
        cells = [interval(ways[way][share]["less full"]) for share in shares for way in (rule, "random")]
        full = 100 * np.mean(ways["full"][shares[0]]["accuracy"])
        lines.append([f"fine-tuned, {layers} layers (3 seeds)", f"{full:.2f}", *cells])
    head = ["model", "full %", *(one for share in shares for one in (f"{float(share):.0%}: rule", "random"))]
    return table(head, lines)


def headline_table(tested: dict[str, Any]) -> str:
    """The rule and random rows at the shares of `HEADLINE`, same steps: accuracy less full data, in points."""
    lines = []
    for model, stages in TRIED.items():
        for kind, said in ((False, "recommended"), (True, "random")):
            cells = []
            for name, share in HEADLINE:
                found = (
                    line
                    for stage in stages
                    for line in tested[name].get(stage, {"table": []})["table"]
                    if line["fraction"] == share and is_random(line) is kind
                )
                cells.append(next((interval_text(line["to_full"]) for line in found), ""))
            lines.append([model, said, *cells])
    return table(["model", "rows", *(f"{name} less {share:.0%}" for name, share in HEADLINE)], lines)


def tables(results: dict[str, Any]) -> dict[str, str]:
    """Every table by its mark in the pages."""
    tested = results.get("test", {})
    found = {}
    for name, stages in tested.items():
        for stage, figures in stages.items():
            mark = f"{name}-{stage.replace(' ', '-')}"
            if stage.split()[-1] in ("paper", "singles", "rest", "paper-epochs", "paper-easy-epochs"):
                found[mark] = single_table(figures)
            elif stage in ("steps", "more", "epochs") or stage.startswith("tuned-"):
                found[mark] = rule_table(figures)
                found[f"{mark}-sources"] = by_source(figures)
            elif stage.startswith("noise"):
                found[mark] = noise_table(figures)
                found[f"{mark}-pruned"] = cleaning_table(figures)
    tuned = json.loads(FIGURES.read_text(encoding="utf-8"))
    found["sizes"] = sizes_table(tested["hwu64"]["epochs"], tuned)
    found["margins"] = margins_table(results.get("val", {}))
    found["views"] = views_table(results.get("val", {}))
    found["two-views"] = two_views_table(tested)
    found["headline"] = headline_table(tested)
    found["under-trained"] = undertrained_table(undertrained())
    listed = {name: one["suspects"] for name, one in results.get("val", {}).items() if "suspects" in one}
    found["suspects-orders"] = orders_table(listed)
    found["suspects-lengths"] = lengths_table(listed)
    return {**found, "stability": stability_table(tested), "lds": lds_table(tested)}


def pages() -> dict[Path, str]:
    """Every page with its tables made from study.json."""
    made = tables(json.loads(RESULTS.read_text(encoding="utf-8")))
    texts = {page: page.read_text(encoding="utf-8") for page in PAGES}
    for mark, content in made.items():
        texts = {page: filled(text, mark, content) for page, text in texts.items()}
    return texts


if __name__ == "__main__":
    for place, content in pages().items():
        place.write_text(content, encoding="utf-8")
