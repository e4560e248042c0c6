"""How much can be dropped: the largest share of the rows without which held-out rows fare no worse than with all rows."""

from __future__ import annotations

import numpy as np
from pydantic import BaseModel

from thresher.config import CompareConfig, HowMuchConfig, SelectConfig
from thresher.errors import UserError
from thresher.experiments.arms import Arm, scores_of
from thresher.experiments.cross_fit import fold_runs
from thresher.experiments.head_search import search_heads
from thresher.experiments.search_arm import arm_of, checked_arm, refuse_added
from thresher.experiments.share_search import look, search, shares
from thresher.experiments.share_sentence import sentence
from thresher.pipeline.nested import as_scored, nested_run
from thresher.progress import say
from thresher.rows import read_rows
from thresher.rows.split import parts_of, split_off
from thresher.run import Run, parquet
from thresher.run.steps import Facts, step, test_hash

FEWEST = 2  # rows to decide on; of one alone no interval follows


class Search(BaseModel):
    """What the search is asked for: how to search, how to select, how to train."""

    how_much: HowMuchConfig
    select: SelectConfig
    compare: CompareConfig

    def key(self) -> dict[str, object]:
        """What of it changes the answer."""
        return {
            "how_much": self.how_much.model_dump(mode="json"),
            "select": self.select.model_dump(mode="json", exclude={"prune", "seed"}),
            "compare": self.compare.model_dump(mode="json", include={"same_steps", "seeds", "loss_margin"}),
        }


def inputs(run: Run, settings: Search) -> dict[str, object]:
    """The test rows, and what of the settings changes the answer."""
    return {**test_hash(run, settings), **settings.key()}


def margin_of(run: Run, settings: Search) -> float:
    """What may be lost: a share of the test rows, or of completions nats per token."""
    if run.manifest.task == "text":
        return settings.compare.loss_margin
    return settings.how_much.margin / 100


def heads_of(run: Run) -> Run | None:
    """The run whose heads on a frozen encoder a search trains: this one or its proxy; None if a whole model is fine-tuned."""
    return run.scoring if run.scoring.config.model.freeze else None


def folds_for(validation: float) -> int:
    """The number of folds of about this share of the rows.

    >>> folds_for(0.2), folds_for(0.3), folds_for(0.9)
    (5, 3, 2)
    """
    return max(2, round(1 / validation))


def check(run: Run, settings: Search) -> None:
    """Refuse what cannot be searched before anything is trained.

    Raises UserError: no row is set aside, no share drops rows, or a selection by a column that other rows do not have.
    """
    columns = run.score_columns()
    refuse_added(run, settings.select, columns)
    rows = read_rows(run.rows_file)
    seed, validation = run.config.train.seed, settings.how_much.validation
    shares(
        arm_of(run, settings.select, columns), scores_of(run, rows.table["id"]), settings.how_much.step, seed
    )
    if heads := heads_of(run):
        folds = folds_for(validation)
        rows_of = np.bincount(1 + parts_of(rows, folds, heads.config.train.seed), minlength=folds + 1)[1:]
        least = int(rows_of.min())
    else:
        least = len(split_off(rows, validation, seed)[1])
    if least < FEWEST:
        raise UserError(
            f"{run}: --validation {validation:g} sets {('none', 'one')[least]} of the {len(rows):,} training rows aside to"
            " decide on; give another share"
        )


@step(
    "how_much",
    after="score",
    ignore=("how_much", "select", "compare"),
    inputs=inputs,
    check=check,
    own=True,
)
def how_much(run: Run, settings: Search) -> Facts:
    """Search on training rows that the models of the search have not seen, and confirm the share on the test rows; see
    `thresher.api.how_much`.
    """
    asked, compare = settings.how_much, settings.compare
    arm = arm_of(run, settings.select, run.score_columns())
    entry = by_heads(run, settings) if heads_of(run) else by_split(run, settings)
    entry |= told_by(run, settings)
    entry |= {"validation": asked.validation, "confirmed": None, "test": run.manifest.test_hash}
    if entry["fraction"] and run.has_test:
        seeds = next(one["seeds"] for one in entry["looks"] if one["fraction"] == entry["fraction"])
        found = look(
            run, arm, entry["fraction"], max(seeds, compare.seeds), compare.same_steps, compare.workers
        )
        entry["confirmed"] = {
            **found.facts(margin_of(run, settings)),
            "n_test": found.kept.rows,
            "arm": arm.facts(),
        }
    entry["sentence"] = sentence(entry)
    say(f"how-much: {entry['sentence']}")
    return entry


def told_by(run: Run, settings: Search) -> Facts:
    """What the margin is, in points of accuracy or in nats per token, and how the models are trained."""
    of_texts = run.manifest.task == "text"
    margin = settings.compare.loss_margin if of_texts else settings.how_much.margin
    return {
        "metric": "loss" if of_texts else "accuracy",
        "margin": margin,
        "same_steps": settings.compare.same_steps,
    }


def by_heads(run: Run, settings: Search) -> Facts:
    """The search on all training rows, cross-fitted by heads on the frozen encoder that scored them."""
    asked, compare, heads = settings.how_much, settings.compare, run.scoring
    folds = folds_for(asked.validation)
    say(
        f"how-much: {run.manifest.n_rows:,} training rows decide, in {folds} folds: heads that have not seen a row test it"
    )
    arm = arm_of(run, settings.select, run.score_columns())
    runs = fold_runs(heads, folds, arm.column.split("+"))
    within = checked_arm(run, runs[0], settings.select)
    # Floors and protected rows end the grid of one fold before that of another: a share counts as long as one drops more rows.
    grid = sorted({share for one in runs for share in shares_of(one, within, asked.step)})
    found = search_heads(runs, within, grid, asked, same_steps=compare.same_steps, workers=compare.workers)
    return {**found, "arm": within.facts(), "folds": folds}


def shares_of(run: Run, arm: Arm, step: float) -> list[float]:
    """The shares that are worth a look in a run; see `shares`."""
    ids = parquet.read(run.rows_file, columns=["id"])["id"]
    return shares(arm, scores_of(run, ids), step, run.config.train.seed)


def by_split(run: Run, settings: Search) -> Facts:
    """The search on one part of the training rows, by models that are trained on the others."""
    asked, compare, seed = settings.how_much, settings.compare, run.config.train.seed
    stay, aside = split_off(read_rows(run.rows_file), asked.validation, seed)
    say(
        f"how-much: {len(aside):,} of {run.manifest.n_rows:,} training rows decide, the others are trained on and scored"
    )
    folder = run.step_folder("how_much") / f"validation-{asked.validation:g}"
    inner = nested_run(folder, stay, aside, as_scored(run), proof_seeds=asked.first_seeds)
    within = checked_arm(run, inner, settings.select)
    grid = shares(within, scores_of(inner, stay.table["id"]), asked.step, seed)
    rule = (compare.same_steps, compare.workers)
    margin = margin_of(run, settings)
    found = search(lambda fraction, seeds: look(inner, within, fraction, seeds, *rule), grid, margin, asked)
    return {**found, "arm": within.facts(), "folds": 0}


def with_share(run: Run, settings: Search) -> SelectConfig:
    """The selection settings with the share that `prune="auto"` finds: that of the whole run's decision where there is one.

    Raises UserError: no share is shown to be free within the margin.
    """
    if settings.select.prune != "auto":
        return settings.select
    same = settings.select.model_dump(mode="json", exclude={"prune", "seed"})
    decided = run.current("decide")
    if (
        decided
        and decided.settings["select"]["prune"] == "auto"
        and chosen(decided.settings["select"]) == same
    ):
        return settings.select.model_copy(update={"prune": decided.facts["prune"]})
    record = run.current("how_much")
    if (
        record
        and record.facts["test"] == run.manifest.test_hash
        and chosen(record.settings["select"]) == same
    ):
        # Found before, with whatever margin and step were asked for then.
        found = record.facts
    else:
        found = how_much(run, settings)
    if not found["fraction"]:
        raise UserError(
            f"{found['sentence']} Give `thresher how-much --margin` more points, or --prune a share"
        )
    return settings.select.model_copy(update={"prune": found["fraction"]})


def chosen(select: dict[str, object]) -> dict[str, object]:
    """What of recorded selection settings a search depends on."""
    return {name: value for name, value in select.items() if name not in ("prune", "seed")}
