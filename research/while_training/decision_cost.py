"""What it costs to choose rows in each way, and the accuracy of a model trained on the rows chosen.

    python -m research.while_training.decision_cost ROWS OUT [--seeds 0 1 2] [--pruned ...] [--ways ...] [--costs]

hwu64 (rows from `research.study.data`). The model is the first 3 encoder layers, fine-tuned as in `research.study.run
--model tuned-3`; `--deep tuned-6-one` takes all six, with fewer ways, and needs `--costs` first because its measuring
pass also scores the rows. The ways range from the paper's measuring pass to a head on the frozen encoder. Every
selection is trained for the same number of epochs. Where scores come from a training, the scores of seed s choose the
rows for the training of seed s, so the interval includes their noise. `--costs` measures each part in CPU seconds of
one thread. Finished trainings are reused; ways that are not named keep their figures. Figures go to
decision-cost.json; `tables.py` makes the table."""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from scipy.stats import spearmanr

import thresher as th
from research.study.models import MODELS
from research.study.run import config_of, scored, training_rows
from research.while_training.watched_run import watch
from thresher.experiments.arms import RANDOM, Arm, arms_of, kept_by, scores_of
from thresher.experiments.cell import Cell, new_cell
from thresher.experiments.cells import predictions, run_cells
from thresher.experiments.intervals import paired_interval
from thresher.experiments.metrics import accuracy
from thresher.rows import read_rows
from thresher.run import Run
from thresher.run.files import as_json, write

FIGURES = Path(__file__).parent / "decision-cost.json"
DATA = "hwu64"
Choice = tuple[str, str, dict[str, Any]]  # score, strategy, and what else a selection is asked for
RULE: Choice = ("aum", "recommended", {})
VOG: Choice = ("vog", "cutoff", {})
ONLINE: Choice = ("vog_online_class", "cutoff", {})
ONLINE_BY_CLASS: Choice = ("vog_online", "cutoff", {"stratify": "label"})
VOG_PASS = "VoG, measuring pass"
FROZEN, QUICK = "rule, frozen encoder as proxy", "rule, frozen first 3 layers, one run"
# By way of scoring: where its scores are, what it selects by, and what has to be paid for it, in parts that `costs` measures.
WAYS: dict[str, tuple[str, Choice, dict[str, int]]] = {
    VOG_PASS: ("deep", VOG, {"training": 1, "pass": 1}),
    "online VoG, watched": ("watched", ONLINE, {"watched training": 1}),
    "online VoG within each class, watched": ("watched", ONLINE_BY_CLASS, {"watched training": 1}),
    "VoG, first layer as proxy": ("tuned-1", VOG, {"tuned-1": 1}),
    "VoG, first layer, 1 epoch, 4 checkpoints": ("tuned-1-quick", VOG, {"tuned-1-quick": 1}),
    "rule, measuring pass of 3 trainings": ("deep", RULE, {"training": 3, "pass of logits": 3}),
    FROZEN: ("frozen", RULE, {"frozen": 1}),
    QUICK: ("frozen-3-one", RULE, {"frozen-3-one": 1}),
}
TRIED: dict[str, tuple[str, ...]] = {
    "tuned-3": tuple(way for way in WAYS if way != QUICK),
    "tuned-6-one": (VOG_PASS, QUICK),
}


def processor_seconds(job: Callable[[], Any]) -> float:
    """Processor time of a job in this process and in those that it started and waited for."""

    def used() -> float:
        both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return sum(one.ru_utime + one.ru_stime for one in both)

    before = used()
    job()
    return round(used() - before, 1)


def costs(rows: Path, out: Path, deep: str) -> dict[str, float]:
    """CPU seconds of every part of a way of scoring, each measured separately, in one thread."""
    parts = {part for way in TRIED[deep] for part in WAYS[way][2]} | {"training"}
    config = config_of(rows, DATA, "test", deep)
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["THRESHER_CACHE"] = f"{folder}/cache"
        # A model that is trained once keeps what is measured here for the scores of its rows.
        place = out / f"{DATA}-test-{deep}" if config.train.runs == 1 else Path(folder) / "deep"
        given = {"test": config.data.test, "config": config, "proof_seeds": 1, "runs": 1, "workers": 1}
        found["training"] = processor_seconds(lambda: th.train(training_rows(config), out=place, **given))
        if "pass of logits" in parts:
            found["pass of logits"] = processor_seconds(lambda: th.measure(place, signals=(), workers=1))
        found["pass"] = processor_seconds(
            lambda: th.measure(place, signals=("gradient_gram",), workers=1, force="pass of logits" in parts)
        )
        if "watched training" in parts:
            found["watched training"] = processor_seconds(
                lambda: watch(Run.open(place), Path(folder) / "run", 0)
            )
        for name in sorted(parts & MODELS.keys()):
            signals = ("gradient_gram",) if name.startswith("tuned") else ()
            found[name] = processor_seconds(partial(proxy, rows, Path(folder) / name, name, signals))
    return found


def proxy(rows: Path, folder: Path, model: str, signals: tuple[str, ...]) -> None:
    """Train, measure what is needed and score a proxy."""
    config = config_of(rows, DATA, "test", model)
    run = th.train(training_rows(config), out=folder, config=config, workers=1)
    th.measure(run, signals=signals, features=False, workers=1)
    th.score(run)


def tables(
    rows: Path, out: Path, model: str, ways: list[str], seeds: list[int]
) -> Callable[[str, int], pl.DataFrame]:
    """The score table of every source, by source and seed, in the row order of the deep run; missing ones are computed."""
    sources = {WAYS[way][0] for way in ways}
    others = sorted(sources - {"deep", "watched"})
    runs = {"deep": scored(rows, out, DATA, "test", model)}
    runs |= {name: scored(rows, out, DATA, "test", name) for name in others}
    deep = read_rows(runs["deep"].rows_file).table
    found = {name: scores_of(run, deep["id"]) for name, run in runs.items()}
    watched = {}
    for seed in seeds if "watched" in sources else []:
        folder = out / f"{DATA}-test-watched-{seed}"
        if not Run.exists(folder) or Run.open(folder).record("score") is None:
            watch(runs["deep"], folder, seed)
            print("watched", seed, flush=True)
        # A watched dataset without an id column has the rows' numbers for ids, in their order.
        watched[seed] = Run.open(folder).scores().with_columns(deep["id"], found["deep"]["label"])
    return lambda source, seed: watched[seed] if source == "watched" else found[source]


def arm(way: str, table: pl.DataFrame) -> Arm:
    """How a way chooses rows of its table."""
    by, strategy, request = WAYS[way][1]
    return arms_of(table.columns, [by], ["easy"], [strategy], request)[1]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--deep", choices=list(TRIED), default="tuned-3")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--pruned", type=float, nargs="+", default=[0.3, 0.45, 0.7])
    parser.add_argument(
        "--ways", nargs="+", choices=list(WAYS), help="default: all; what is measured by VoG always"
    )
    parser.add_argument("--costs", action="store_true", help="measure only the costs")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    deep = asked.deep
    if asked.costs:
        noted(deep, {"costs": costs(asked.rows, asked.out, deep)})
        return
    ways = [way for way in TRIED[deep] if way in (VOG_PASS, *(asked.ways or WAYS))]
    table = tables(asked.rows, asked.out, deep, ways, asked.seeds)
    run = Run.open(asked.out / f"{DATA}-test-{deep}")
    ids = read_rows(run.rows_file).table["id"]
    cells: dict[tuple[str, float], list[Cell]] = {("full", 0.0): []}
    for seed in asked.seeds:
        cells["full", 0.0].append(new_cell("full", seed, None, ids))
        for pruned in asked.pruned:
            for way in (*ways, "random"):
                source = "deep" if way == "random" else WAYS[way][0]
                scores = table(source, seed)
                chosen = RANDOM if way == "random" else arm(way, scores)
                kept = kept_by(chosen, scores, pruned, seed)
                cells.setdefault((way, pruned), []).append(new_cell(way, seed, None, ids, kept, chosen.name))
        # Seed after seed, so that the first figures of all ways come early.
        done = asked.seeds[: asked.seeds.index(seed) + 1]
        found = outcome(run, ways, cells, asked.pruned, table, done)
        noted(deep, {"seeds": done, "ways": found})
        print("seed", seed, flush=True)


def noted(deep: str, entry: dict[str, Any]) -> None:
    """Add to the figures of a deep model: other ways stay, and other shares of the same way."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {}
    before = figures.get(deep, {})
    ways = before.get("ways", {})
    for way, found in entry.get("ways", {}).items():
        ways[way] = ways.get(way, {}) | found
    figures[deep] = before | entry | {"ways": ways}
    write(FIGURES, as_json(figures))


def outcome(
    run: Run,
    ways: list[str],
    cells: dict[tuple[str, float], list[Cell]],
    shares: list[float],
    table: Callable[[str, int], pl.DataFrame],
    seeds: list[int],
) -> dict[str, Any]:
    """By way: rank correlation with the scores of the measuring pass, and by share pruned accuracy and its differences."""
    truth = read_rows(run.test_file).labels()
    results = iter(run_cells(run, [cell for alike in cells.values() for cell in alike], None))
    predicted = {key: predictions(run, [next(results) for _ in alike]) for key, alike in cells.items()}
    full = predicted["full", 0.0]
    # Full data is trained for every share, so that shares of other sessions keep their own trainings.
    trained = {"accuracy": [round(accuracy(truth, one), 5) for one in full]}
    found: dict[str, Any] = {"full": {f"{share:g}": trained for share in shares}}
    for way in (*ways, "random"):
        line: dict[str, Any] = {} if way == "random" else {"rank correlation": ranks(way, table, seeds)}
        for share in shares:
            mine, vog = predicted[way, share], predicted[VOG_PASS, share]
            line[f"{share:g}"] = {"accuracy": [round(accuracy(truth, one), 5) for one in mine]}
            if len(seeds) > 1:
                for name, other in (
                    ("full", full),
                    ("random", predicted["random", share]),
                    (VOG_PASS, vog),
                ):
                    gap = paired_interval(mine, other, truth)
                    line[f"{share:g}"][f"less {name}"] = [
                        round(100 * value, 2) for value in (gap["mean"], gap["low"], gap["high"])
                    ]
        found[way] = line
    return found


def ranks(way: str, table: Callable[[str, int], pl.DataFrame], seeds: list[int]) -> dict[str, float]:
    """Rank correlation of the score of each method with VoG and AUM of the measuring pass, mean over seeds."""
    source, (by, *_), _ = WAYS[way]
    column = arm(way, table(source, seeds[0])).by
    column = column[0] if isinstance(column, tuple) else column
    assert column is not None, by
    means = {}
    for other in ("vog_class", "aum"):
        pairs = [spearmanr(table(source, seed)[column], table("deep", seed)[other]) for seed in seeds]
        means[other] = round(float(np.mean([one.statistic for one in pairs])), 3)
    return means


if __name__ == "__main__":
    main()
