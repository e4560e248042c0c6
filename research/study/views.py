"""The recommended rule by the hardest of several views of a row, on validation rows.

    python -m research.study.views ROWS OUT hwu64 --model tuned-3-proxy --fraction 0.8 --ways frozen own frozen+words

A view is a held-out margin: `frozen` of heads on the frozen encoder, `own` of the fine-tuned model's
cross-validation, `words` of the linear model on words (`measure.words`), `chance` a random number. A row with several
views, joined by +, has the lowest of its ranks in them, so it is kept if any view finds it hard; `mean(A+B)` takes
the mean of the ranks. `:OPTION=X` sets an option of the rule. The other ways are compared with the first; `random`
keeps random rows. Figures are points of accuracy at the same number of steps; they are added to study.json."""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from research.study.data import COLUMNS
from research.study.models import MODELS
from research.study.run import recorded, results, scored
from thresher.experiments.arms import RANDOM, arms_of, kept_by, scores_of
from thresher.experiments.cell import new_cell
from thresher.experiments.cells import predictions, run_cells
from thresher.rows import read_rows
from thresher.training.recipe import steps_of
from thresher.training.words import word_margins

Values = NDArray[np.float64]


def ranks(values: Values) -> Values:
    """Ranks over N, equal values share theirs; (N,)."""
    return (pl.Series(values).rank() / len(values)).to_numpy()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("name", choices=list(COLUMNS))
    parser.add_argument("--model", default="tuned-3-proxy", choices=list(MODELS))
    parser.add_argument("--fraction", type=float, default=0.8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", nargs="+", required=True)
    parser.add_argument("--parallel", type=int, default=1, help="trainings at once")
    asked = parser.parse_args()
    run = scored(asked.rows, asked.out, asked.name, "val", asked.model)
    rows = read_rows(run.rows_file)
    ids, recipe = rows.table["id"], run.config.train
    truth = read_rows(run.test_file).labels()
    table = scores_of(run, ids)

    @cache
    def view(name: str) -> Values:
        """Ranks of the rows in one view, the hardest lowest."""
        if name == "chance":
            return np.random.default_rng(7).random(len(ids))
        if name == "words":
            return ranks(word_margins(rows))
        return ranks(scored_by(name)["held_out_margin"].to_numpy())

    @cache
    def scored_by(name: str) -> pl.DataFrame:
        """The score table of a view that is a model."""
        own = scored(asked.rows, asked.out, asked.name, "val", "tuned-3-folds") if name == "own" else run
        return scores_of(own, ids)

    def kept(way: str, seed: int) -> NDArray[np.bool_]:
        if way == "random":
            return kept_by(RANDOM, table, asked.fraction, seed)
        names, *options = way.split(":")
        mean = names.startswith("mean(")
        members = names.removeprefix("mean(").rstrip(")").split("+")
        values = np.stack([view(one) for one in members])
        joined = values.mean(axis=0) if mean else values.min(axis=0)
        learned = [scored_by(one)["correctness"].to_numpy() for one in members if one in ("frozen", "own")]
        # In the column that the rule prefers.
        with_views = table.with_columns(
            hardest_view=pl.Series(joined), correctness=pl.Series(np.mean(learned, axis=0))
        )
        (arm,) = arms_of(with_views.columns, ["aum"], ["easy"], [":".join(["recommended", *options])], {})[1:]
        return kept_by(arm, with_views, asked.fraction, seed)

    seeds, steps = range(asked.seeds), steps_of(recipe, len(rows))
    cells = {"full": [new_cell("full", seed, recipe.max_steps, ids) for seed in seeds]} | {
        way: [new_cell("views", seed, steps, ids, kept(way, seed), way) for seed in seeds]
        for way in asked.ways
    }
    done = run_cells(run, [cell for some in cells.values() for cell in some], asked.parallel)
    right = (predictions(run, done) == truth).mean(axis=1).reshape(len(cells), asked.seeds)
    accuracy = dict(zip(cells, 100 * right, strict=True))  # in points, by seed
    full, first = accuracy["full"], accuracy[asked.ways[0]]
    for way in asked.ways:
        points = accuracy[way]
        figures = {
            name: {"mean": float(gap.mean()), "se": float(gap.std(ddof=1) / len(gap) ** 0.5)}
            for name, gap in (("to_full", points - full), ("to_first", points - first))
        }
        said = ", ".join(f"{name} {one['mean']:+.2f} ± {one['se']:.2f}" for name, one in figures.items())
        print(f"{asked.name} {asked.fraction:g} {asked.model} {way}: {said}", flush=True)
        known = results().get("val", {}).get(asked.name, {}).get("views", {})
        place = f"{asked.model} {asked.fraction:g} {way}"
        recorded("val", asked.name, "views", {**known, place: {**figures, "seeds": asked.seeds}})


if __name__ == "__main__":
    main()
