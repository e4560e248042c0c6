"""The rule on models that are under-trained on purpose: `python -m research.study.undertrained ROWS OUT --sets ...`.

ROWS and OUT as for `research.study.run`. Two layers of the encoder are fine-tuned for one or two epochs on a tenth of the rows of
`fit`, and tested on the rows of `val`: the rule against as many random rows, at the same epochs and at the same steps. `proxy`:
heads on the frozen encoder and the words score the rows, and a pilot of the model says how far they count, as `thresher run` does
by default. `own`: the model's own training scores them. Where neither counts both keep the same stratified draw, which is trained
once. Adds the figures to undertrained.json as it goes."""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import polars as pl

import thresher as th
from research.study.data import COLUMNS, read, write
from thresher.config import RunConfig, SelectConfig
from thresher.experiments.arms import RANDOM, Arm, arms_of, kept_by, scores_of
from thresher.experiments.cell import Cell, new_cell
from thresher.experiments.cells import predictions, run_cells
from thresher.experiments.intervals import paired_interval
from thresher.experiments.wording import interval_text
from thresher.pipeline.pilot import with_trust
from thresher.rows import read_rows
from thresher.run import Run
from thresher.selection.recommended import learned_in_time, trust_in
from thresher.settings import checked
from thresher.training.recipe import steps_of

RESULTS = Path(__file__).parent / "undertrained.json"
SHARES = (0.3, 0.45, 0.7)
EPOCHS = (1, 2)
RULES = ("epochs", "steps")
SCORERS: dict[str, dict[str, Any]] = {
    "proxy": {"proxy": {"encoder": "frozen"}},
    # Without the second model of PVI, which the rule does not read.
    "own": {"measure": {"signals": []}, "train": {"null_epochs": 0.01, "forgetting_evaluations": 0}},
}


def results() -> dict[str, Any]:
    """By data set, epochs, rule and share: what `cell_of` returns."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    return found


def recorded(place: tuple[str, ...], line: dict[str, Any]) -> None:
    """Write one line of the results; the others stay."""
    found = results()
    at = found
    for name in place[:-1]:
        at = at.setdefault(name, {})
    at[place[-1]] = line
    RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def tenth(rows: Path, name: str) -> Path:
    """A file with a tenth of the rows of `fit`, drawn at random once."""
    file = rows / name / "tenth.jsonl"
    if not file.is_file():
        whole = read(rows / name / "fit.jsonl")
        chosen = random.Random(0).sample(range(len(whole)), len(whole) // 10)
        write(file, [whole[at] for at in sorted(chosen)])
    return file


def config_of(rows: Path, name: str, scorer: str, epochs: int) -> RunConfig:
    """Two layers by the default recipe, for few epochs."""
    text, label = COLUMNS[name]
    more = SCORERS[scorer]
    train, test = tenth(rows, name), rows / name / "val.jsonl"
    return checked(
        {
            "data": {"train": str(train), "test": str(test), "text": text.split(","), "label": label},
            "model": {"layers": 2},
            **more,
            "train": {"epochs": epochs, "threads": 1, "workers": 1, **more.get("train", {})},
        }
    )


def scored(rows: Path, out: Path, name: str, scorer: str, epochs: int) -> Run:
    """The run of a data set, trained, measured and scored."""
    config = config_of(rows, name, scorer, epochs)
    data = config.data
    loaded = th.load(data.train, text=list(data.text), label=data.label)
    run = th.train(loaded, out=out / f"under-{name}-{scorer}-{epochs}", test=data.test, config=config)
    th.measure(run, **config.measure.model_dump(exclude={"workers"}), workers=1)
    th.score(run)
    return run


def arm_at(run: Run, share: float, same_steps: bool) -> tuple[Arm, float]:
    """The rule at a share, and how far the scores of the run count in it, 0 to 1."""
    options = with_trust(run, SelectConfig(strategy="recommended", prune=share), same_steps).options
    rule = ":".join(["recommended", *(f"{name}={value:g}" for name, value in options.items())])
    (arm,) = arms_of(run.score_columns(), ["aum"], ["easy"], [rule], {})[1:]
    trusted = trust_in(learned_in_time(th.score(run)["correctness"].to_numpy()))
    return arm, round(min(trusted, options.get("trust", 1.0)), 2)


def compared(runs: dict[str, Run], share: float, same_steps: bool, seeds: int) -> dict[str, Any]:
    """Accuracy on all rows, on random rows and on the rows that the rule keeps by each scorer; all train in the first run."""
    run = next(iter(runs.values()))
    rows, truth = read_rows(run.rows_file), read_rows(run.test_file).labels()
    ids, recipe = rows.table["id"], run.config.train
    steps = steps_of(recipe, len(rows)) if same_steps else recipe.max_steps
    arms = {name: arm_at(one, share, same_steps) for name, one in runs.items()}
    tables = {name: scores_of(one, ids) for name, one in runs.items()}

    def cells(name: str, arm: Arm, table: pl.DataFrame) -> list[Cell]:
        return [
            new_cell(name, seed, steps, ids, kept_by(arm, table, share, seed), name) for seed in range(seeds)
        ]

    wanted = {
        "full": [new_cell("full", seed, recipe.max_steps, ids) for seed in range(seeds)],
        "random": cells("random", RANDOM, tables[next(iter(tables))]),
        **{name: cells(name, arm, tables[name]) for name, (arm, _) in arms.items()},
    }
    done = run_cells(run, [cell for alike in wanted.values() for cell in alike], 1)
    predicted = dict(zip(wanted, predictions(run, done).reshape(len(wanted), seeds, -1), strict=True))

    def gap(one: str, other: str) -> dict[str, float]:
        found = paired_interval(predicted[one], predicted[other], truth)
        return {"mean": found["mean"], "low": found["low"], "high": found["high"]}

    return {
        "seeds": seeds,
        "rows": len(rows),
        "kept": wanted["random"][0]["n"],
        "accuracy": {name: float((one == truth).mean()) for name, one in predicted.items()},
        "random to full": gap("random", "full"),
        "scorers": {
            name: {"trust": trust, "to_full": gap(name, "full"), "to_random": gap(name, "random")}
            for name, (_, trust) in arms.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", choices=list(COLUMNS), default=list(COLUMNS))
    parser.add_argument("--epochs", nargs="+", type=int, default=EPOCHS)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    for name in asked.sets:
        for epochs in asked.epochs:
            runs = {scorer: scored(asked.rows, asked.out, name, scorer, epochs) for scorer in SCORERS}
            for share in SHARES:
                for rule in RULES:
                    found = compared(runs, share, rule == "steps", asked.seeds)
                    recorded((name, str(epochs), rule, f"{share:g}"), found)
                    for scorer, one in found["scorers"].items():
                        told = f"trust {one['trust']:g}, kept less random {interval_text(one['to_random'])}"
                        print(name, epochs, rule, share, scorer, told, flush=True)


if __name__ == "__main__":
    main()
