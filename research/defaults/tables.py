"""Print the tables of results.md from run folders, as Markdown: `python -m research.defaults.tables RUN [RUN ...]`."""

from __future__ import annotations

import sys
from pathlib import Path

from thresher.experiments.compare import comparison
from thresher.experiments.wording import ARMS, interval_text
from thresher.run import Run


def percent(found: dict[str, float]) -> str:
    return f"{100 * found['mean']:.2f} ± {100 * found['std']:.2f}"


def tables(run: Run) -> str:
    """The comparison of the selection of a run, with what it was made with."""
    seconds = {name: run.require(name).seconds for name in ("train", "measure", "compare")}
    name = run.require("select").facts["name"]
    lines = []
    for entry in [comparison(run, name)]:
        facts = entry["settings"]
        held = "steps" if facts["same_steps"] else "epochs"
        lines += [
            f"`{name}`: seeds {facts['seeds']}, same {held}, {facts['steps_full']:,} steps on all rows, "
            f"{facts['steps_pruned']:,} on the kept ones; {facts['n_test']:,} test rows.",
            "",
            "| trained on | rows | accuracy % | macro-F1 % | accuracy less full, points [95%] | less random, points [95%] |",
            "|---|---|---|---|---|---|",
        ]
        for arm in ARMS:
            found, away = entry["arms"][arm], entry["differences"]
            full = "" if arm == "full" else interval_text(away[f"{arm}-full"]["accuracy"])
            random = interval_text(away["kept-random"]["accuracy"]) if arm == "kept" else ""
            cells = (
                arm,
                f"{found['n_train']:,}",
                percent(found["accuracy"]),
                percent(found["macro_f1"]),
                full,
                random,
            )
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    took = ", ".join(f"{step} {spent:,.0f} s" for step, spent in seconds.items())
    versions = ", ".join(f"{package} {version}" for package, version in run.manifest.versions.items())
    lines.append(
        f"Time: {took}. Versions: {versions}. Rows {run.manifest.rows_hash}, test rows {run.manifest.test_hash}."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        print(f"## {Path(folder).name}\n\n{tables(Run.open(folder))}\n")
