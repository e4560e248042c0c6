"""Print the tables of results.md from run folders, as Markdown: `python -m research.defaults.tables RUN [RUN ...]`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from thresher.experiments.compare import comparison
from thresher.experiments.wording import ARMS
from thresher.run import Run
from thresher.run.run import JOB
from thresher.wording import interval_text


def percent(found: dict[str, float]) -> str:
    return f"{100 * found['mean']:.2f} ± {100 * found['std']:.2f}"


def tables(run: Path) -> str:
    """One table per comparison of a run folder, with what it was made with."""
    manifest: dict[str, Any] = yaml.safe_load((run / "run.yaml").read_text(encoding="utf-8"))
    opened = Run.open(run)
    records = {name: record for name in JOB if (record := opened.record(name))}
    seconds = {name: record.seconds for name, record in records.items()}
    compared = {
        path.stem: comparison(opened, path.stem) for path in (run / ".thresher/compare").glob("*-*.json")
    }
    lines = []
    for name, entry in compared.items():
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
    took = ", ".join(
        f"{name} {seconds[name]:,.0f} s" for name in ("train", "measure", "compare") if name in seconds
    )
    versions = ", ".join(f"{name} {value}" for name, value in manifest["versions"].items())
    lines.append(
        f"Time: {took}. Versions: {versions}. Rows {manifest['rows_hash']}, test rows {manifest['test_hash']}."
    )
    return "\n".join(lines)


if __name__ == "__main__":
    for folder in sys.argv[1:]:
        print(f"## {Path(folder).name}\n\n{tables(Path(folder))}\n")
