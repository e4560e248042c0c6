"""Try ways to choose rows on the validation splits: `python -m research.study.search ROWS OUT NAME --arms ...`.

An arm is `SCORE STRATEGY[:OPTION=X]`, such as `aum window:beta=0.1`. `--least` is the number of rows that every class
keeps, or its even share of the kept rows if that is smaller. Prints the accuracy less full data and less random rows,
in points, with the standard error over seeds and validation rows, and adds the lines to study.json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from research.study.data import COLUMNS
from research.study.run import RESULTS, lines_of, recorded, score_columns, scored
from thresher.experiments.arms import arms_of
from thresher.experiments.sweep import sweep_arms
from thresher.rows import read_rows
from thresher.selection.request import target


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("name", choices=list(COLUMNS))
    parser.add_argument("--arms", nargs="+", required=True)
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.45, 0.7])
    parser.add_argument("--least", nargs="+", type=int, default=[0])
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    run = scored(asked.rows, asked.out, asked.name, "val")
    rows = read_rows(run.rows_file)
    former = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    known = former.get("val", {}).get(asked.name, {}).get("search", {})
    for least in asked.least:
        for fraction in asked.fractions:
            floor = min(least, target(len(rows), fraction) // len(rows.classes))
            request: dict[str, Any] = {"floor": floor, "floor_group": ("label",)} if floor else {}
            arms = [
                one
                for arm in asked.arms
                for one in arms_of(score_columns(run), [arm.split()[0]], ["easy"], [arm.split()[1]], request)[
                    1:
                ]
            ]
            found = lines_of(sweep_arms(run, arms, [fraction], asked.seeds, True, 1))
            for line in found["table"]:
                options = "".join(f":{name}={value:g}" for name, value in line["options"].items())
                name = f"{line['score']} {line['normalise']} {line['strategy']}{options} least={least}"
                figures = {key: line[key] for key in ("to_full", "to_random", "seeds")}
                known[f"{fraction:g} {name}"] = {"accuracy": line["accuracy"]["mean"], **figures}
                full, random = line["to_full"], line["to_random"]
                print(
                    f"{asked.name:9}{fraction:5.2f} {name:58} {100 * line['accuracy']['mean']:.2f}  "
                    f"full {100 * full['mean']:+.2f} [{100 * full['low']:+.2f}]  random {100 * random['mean']:+.2f}",
                    flush=True,
                )
            recorded("val", asked.name, "search", known)


if __name__ == "__main__":
    main()
