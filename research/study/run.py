"""The study: `python -m research.study.run ROWS OUT [--sets ...] [--stages ...] [--model frozen] [--split test]`.

ROWS is the folder that `research.study.data` wrote, OUT a folder for run folders. Finished trainings are reused, and
a stage's figures are in study.json as soon as the stage is complete. `--split val` trains on `fit` and tests on
`val`, on which the rule was chosen. `--model tuned-3` fine-tunes the first 3 layers instead; its stages are recorded
under the model's name and the stage's."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import thresher as th
from research.study.data import COLUMNS
from research.study.datamodel import linear_datamodelling_score
from research.study.models import MODELS
from thresher.config import RunConfig
from thresher.experiments.arms import Arm, arms_of, scores_of
from thresher.experiments.cell import new_cell
from thresher.experiments.cells import run_cells
from thresher.experiments.sweep import sweep_arms
from thresher.rows import Rows, read_rows
from thresher.run import Run
from thresher.scores import column, scores
from thresher.settings import checked

RESULTS = Path(__file__).parent / "study.json"
GROUP = {"clinc150": "domain", "hwu64": "source", "snli": None}
PARTS = {"test": ("train", "test"), "val": ("fit", "val")}
FRACTIONS = (0.25, 0.45, 0.55, 0.7, 0.8)
MORE = (0.1, 0.6, 0.65, 0.75, 0.9)
DECIDING = (0.45, 0.7)
PAPER = ("vog", "el2n", "forgetting", "pvi", "tracin")
SINGLES = (
    "aum",
    "held_out_margin",
    "el2n_mean",
    "variability",
    "grand",
    "h_score",
    "ensemble",
    "prototypicality",
    "d2",
    "duplicates",
)
# Scores that `beyond` leaves out: three that rank much as others do, and one that is made for another strategy.
REST = ("confidence", "correctness", "loss", "trajectory")
SUBSETS = 200


def results() -> dict[str, Any]:
    """All that is recorded: by split, data set and stage."""
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.is_file() else {}
    return found


def recorded(split: str, name: str, stage: str, value: Any) -> None:
    """Write one entry of the results; the others stay."""
    found = results()
    found.setdefault(split, {}).setdefault(name, {})[stage] = value
    temporary = RESULTS.with_suffix(f".{os.getpid()}.tmp")
    temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    temporary.replace(RESULTS)


def config_of(rows: Path, name: str, split: str, model: str = "frozen") -> RunConfig:
    """The settings of a run folder: the rows of a data set and one of `MODELS`."""
    text, label = COLUMNS[name]
    train, test = (str(rows / name / f"{part}.jsonl") for part in PARTS[split])
    group = GROUP[name]
    return checked(
        {
            "data": {
                "train": train,
                "test": test,
                "text": text.split(","),
                "label": label,
                "groups": [group] if group else [],
            },
            **MODELS[model],
        }
    )


def training_rows(config: RunConfig) -> Rows:
    """The training rows that a configuration names."""
    data = config.data
    return th.load(data.train, text=list(data.text), label=data.label, groups=list(data.groups))


def scored(rows: Path, out: Path, name: str, split: str, model: str = "frozen") -> Run:
    """The run of a data set, trained, measured and scored."""
    config = config_of(rows, name, split, model)
    frozen = model == "frozen"
    folder = out / (f"{name}-{split}" if frozen else f"{name}-{split}-{model}")
    run = th.train(
        training_rows(config),
        out=folder,
        test=config.data.test,
        config=config,
        proof_seeds=5 if frozen else config.train.runs,
    )
    th.measure(run, **config.measure.model_dump())
    th.score(run)
    return run


def lines_of(found: dict[str, Any]) -> dict[str, Any]:
    """What is kept of a sweep: full data, and of every line the figures without the classes."""
    keep = (
        "score",
        "normalise",
        "end",
        "strategy",
        "options",
        "fraction",
        "same_steps",
        "n",
        "steps",
        "seeds",
    )
    table = []
    for line in found["table"]:
        source = {key: value["accuracy"] for key, value in line["groups"].items() if key == "source"}
        table.append(
            {key: line[key] for key in keep}
            | {"accuracy": line["accuracy"], "to_full": line["to_full"], "to_random": line["to_random"]}
            | source
        )
    full = {key: found["full"][key] for key in ("accuracy", "n", "steps", "seeds")}
    source = {key: value["accuracy"] for key, value in found["full"]["groups"].items() if key == "source"}
    return {
        "full": full | source,
        "table": table,
        "trainings": found["trainings"],
        "seconds": found["seconds"],
    }


def score_columns(run: Run) -> list[str]:
    return list(pl.read_parquet_schema(run.scores_file))


def recommended(run: Run) -> list[Arm]:
    return arms_of(score_columns(run), ["aum"], ["easy"], ["recommended"], {})[1:]


def rule(run: Run, same_steps: bool, fractions: tuple[float, ...], seeds: int) -> dict[str, Any]:
    return lines_of(sweep_arms(run, recommended(run), fractions, seeds, same_steps, workers_of(run)))


def margins(run: Run, fractions: tuple[float, ...], seeds: int) -> dict[str, Any]:
    """The rule by held-out margins, and by those of models that have seen the row."""
    (held_out,) = recommended(run)
    seen = replace(held_out, by=("aum", "correctness"))
    return lines_of(sweep_arms(run, [held_out, seen], fractions, seeds, True, workers_of(run)))


def workers_of(run: Run) -> int | None:
    return run.config.sweep.workers


def singles(
    run: Run,
    names: tuple[str, ...],
    ends: list[str],
    fractions: tuple[float, ...],
    seeds: int,
    same_steps: bool = True,
) -> Any:
    return lines_of(sweep_arms(run, cutoffs(run, names, ends), fractions, seeds, same_steps, workers_of(run)))


def cutoffs(run: Run, names: tuple[str, ...], ends: list[str]) -> list[Arm]:
    """Plain cut-offs of those of the scores that the run has, random rows first."""
    have = score_columns(run)
    return arms_of(have, [name for name in names if name in have], ends, ["cutoff"], {})  # type: ignore[arg-type]


def beyond(run: Run, fractions: tuple[float, ...], seeds: int) -> Any:
    """Cut-offs of the easy end by scores beyond the paper's, and S2L: as many rows of every cluster of loss trajectories."""
    s2l = arms_of(score_columns(run), ["trajectory"], ["easy"], ["coverage:beta=0:strata=100"], {})[1:]
    arms = [*cutoffs(run, SINGLES, ["easy"]), *s2l]
    return lines_of(sweep_arms(run, arms, fractions, seeds, True, workers_of(run)))


def rest(run: Run, fractions: tuple[float, ...], seeds: int) -> Any:
    """What makes the sweep whole: the hard end by scores beyond the paper's, and both ends by those that `beyond` leaves out."""
    arms = [*cutoffs(run, (*SINGLES, *REST), ["hard"]), *cutoffs(run, REST, ["easy"])]
    return lines_of(sweep_arms(run, arms, fractions, seeds, True, workers_of(run)))


def lds(run: Run) -> dict[str, Any]:
    """Of 200 random halves, trained as many epochs as full data: does the sum of a score predict the accuracy?"""
    ids = read_rows(run.rows_file).table["id"]
    table = scores_of(run, ids)
    n = len(ids)
    halves = np.stack([np.random.default_rng(seed).permutation(n) < n // 2 for seed in range(SUBSETS)])
    seed = run.config.train.seed
    cells = [new_cell(f"half-{at}", seed + at, None, ids, half) for at, half in enumerate(halves)]
    outcomes = np.array([one["accuracy"] for one in run_cells(run, cells, 1)])
    found = {}
    for name in (one for one in scores() if one in table.columns):
        where, hard = column(name, "auto", table.columns)
        values = table[where].cast(pl.Float64).to_numpy() * (1 if hard == "high" else -1)
        found[name] = linear_datamodelling_score(halves, values, outcomes)._asdict()
    spread = {"mean": float(outcomes.mean()), "std": float(outcomes.std(ddof=1))}
    return {"subsets": SUBSETS, "rows": n // 2, "accuracy": spread, "hard_is_positive": found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(COLUMNS), choices=list(COLUMNS))
    parser.add_argument("--stages", nargs="+", default=["steps", "epochs", "paper", "singles", "lds"])
    parser.add_argument("--split", default="test", choices=list(PARTS))
    parser.add_argument("--model", default="frozen", choices=list(MODELS))
    parser.add_argument(
        "--deciding",
        nargs="+",
        type=float,
        default=DECIDING,
        help="fractions of margins, epochs, paper, singles and rest",
    )
    asked = parser.parse_args()
    deciding = tuple(asked.deciding)
    stages = {
        "steps": lambda run: rule(run, True, FRACTIONS, 20),
        "more": lambda run: rule(run, True, MORE, 5),
        "margins": lambda run: margins(run, deciding, 8),
        "epochs": lambda run: rule(run, False, deciding, 5),
        "paper": lambda run: singles(run, PAPER, ["easy", "hard"], deciding, 5),
        "singles": lambda run: beyond(run, deciding, 5),
        "rest": lambda run: rest(run, deciding, 5),
        "stability": lambda run: run.require("score").facts["stability"]["scores"],
        "lds": lds,
        "rule": lambda run: rule(run, True, deciding, 3),
        "rule-epochs": lambda run: rule(run, False, deciding, 3),
        "paper-epochs": lambda run: singles(run, PAPER, ["easy", "hard"], deciding, 3, same_steps=False),
        "paper-easy-epochs": lambda run: singles(run, PAPER, ["easy"], deciding, 3, same_steps=False),
        "vog-epochs": lambda run: singles(run, ("vog",), ["easy"], deciding, 3, same_steps=False),
        "how-much": lambda run: th.how_much(
            run, strategy="recommended", same_steps=True, workers=1
        ).to_dict(),
    }
    for stage in asked.stages:
        for name in asked.sets:
            run = scored(asked.rows, asked.out, name, asked.split, asked.model)
            if stage != "score":
                place = stage if asked.model == "frozen" else f"{asked.model} {stage}"
                recorded(asked.split, name, place, stages[stage](run))
            print(stage, name, flush=True)


if __name__ == "__main__":
    main()
