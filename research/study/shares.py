"""What `how-much` finds with a frozen encoder beside a direct proof: `python -m research.study.shares ROWS OUT --sets ...`.

ROWS and OUT as for `research.study.run`. The search sees training rows only. The direct proof trains 20 heads on the kept
rows and 20 on all training rows, and tests them on the test rows: at the share found and at larger ones up to the first that is
not confirmed (interval above -0.5 points), or at smaller ones down to the first that is. Writes shares.json as it goes."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import thresher as th
from research.study.data import COLUMNS
from research.study.run import scored
from thresher.experiments.arms import Arm, arms_of
from thresher.experiments.share_search import look
from thresher.run import Run

RESULTS = Path(__file__).parent / "shares.json"
GRID = [round(0.05 * step, 2) for step in range(1, 20)]
MARGIN = 0.5
SEEDS = 20


def arm_of(run: Run) -> Arm:
    return arms_of(run.score_columns(), ["aum"], ["easy"], ["recommended"], {})[1]


def proofs(run: Run, found: float, same_steps: bool, record: Any) -> None:
    """Direct proofs around a share, from it on; `record` takes each as it is finished."""

    def holds(fraction: float) -> bool:
        started = time.monotonic()
        facts = look(run, arm_of(run), fraction, SEEDS, same_steps, 1).facts(MARGIN / 100)
        record(facts | {"seconds": round(time.monotonic() - started)})
        return bool(facts["shown"] == "not worse")

    if not found or holds(found):
        for fraction in (one for one in GRID if one > found):
            if not holds(fraction):
                return
    else:
        for fraction in (one for one in reversed(GRID) if one < found):
            if holds(fraction):
                return


def study(run: Run, name: str, same_steps: bool) -> None:
    entries: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    entry: dict[str, Any] = {"direct": []}
    entries.setdefault(name, {})["steps" if same_steps else "epochs"] = entry

    def save() -> None:
        RESULTS.write_text(json.dumps(entries, indent=1, sort_keys=True) + "\n", encoding="utf-8")

    def record(facts: dict[str, Any]) -> None:
        entry["direct"].append(facts)
        print(name, same_steps, facts, flush=True)
        save()

    started = time.monotonic()
    found = th.how_much(run, strategy="recommended", same_steps=same_steps, margin=MARGIN, workers=1)
    entry["found"] = found.to_dict() | {"seconds": round(time.monotonic() - started)}
    print(name, same_steps, found.sentence, flush=True)
    save()
    proofs(run, found.fraction, same_steps, record)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(COLUMNS), default=list(COLUMNS))
    parser.add_argument("--rules", nargs="+", choices=["steps", "epochs"], default=["steps", "epochs"])
    asked = parser.parse_args()
    for name in asked.sets:
        run = scored(asked.rows, asked.out, name, "test", "frozen")
        for rule in asked.rules:
            study(run, name, rule == "steps")


if __name__ == "__main__":
    main()
