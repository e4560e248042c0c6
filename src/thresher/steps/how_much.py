"""Find the largest share of the rows that can go."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from thresher import parquet, run_folder
from thresher.begin import refuse_watched, section_with, write_manifest
from thresher.config import CompareConfig, HowMuchConfig, RunConfig
from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import read_rows
from thresher.rows.split import split_off
from thresher.run_folder import RunPath, finish, has_test, lock, read_manifest, redo, require, state
from thresher.settings import checked
from thresher.steps.nested import nested_run
from thresher.steps.selection_settings import columns_for, refuse_unloaded, request_of, score_columns
from thresher.wording import shown

_FIELDS = {"how_much": HowMuchConfig.model_fields, "compare": CompareConfig.model_fields}


def how_much(run: RunPath, *, force: bool = False, **settings: Any) -> dict[str, Any]:
    """The largest share of the rows without which accuracy is not worse than with all by more than `margin` points.

    A validation part is cut from the training rows, by text; a run on the others, in `RUN/how-much/`, is trained and scored,
    and a bisection with as few seeds as decide finds the share. The test rows, where there are any, are looked at once by it, at
    the share that was found, with the scores of the run itself.

    `settings`: `margin` (points), `validation`, `step`, `first_seeds`, `most_seeds`, and those of `select` but for `prune`
    (`by`, `end`, `strategy`, ...), and the `same_steps`, `seeds` and `workers` of `compare`.

    The run on the others scores them anew. The search goes by the columns that both runs have: where a strategy takes the first
    of several scores, by the first that both have.

    Returns
    -------
    `results.json["how_much"]`: {fraction, removed, estimate, low, high, looks, trainings, n_validation, confirmed, sentence,
    ...}; see `thresher.study.how_much.search`.

    Raises
    ------
    UserError
        nothing was scored yet, or a selection that cannot be made. Before anything is trained: a column that was added to
        `scores.parquet`, which no other run has; a share that sets no row aside; no share that takes rows away.
    """
    run = Path(run)
    before = require(run, "score")
    refuse_watched(run)
    with lock(run):
        from thresher.study.arms import scores_of
        from thresher.study.how_much import look, search, sentence, shares

        manifest = read_manifest(run)
        config = with_changes(manifest, settings)
        asked, compare = config.how_much, config.compare
        chosen = config.select.model_dump(mode="json", exclude={"prune", "seed"})
        made_with = {
            "score": before["hash"],
            "test": manifest["test_hash"],
            "select": chosen,
            "same_steps": compare.same_steps,
            "seeds": compare.seeds,
            **asked.model_dump(mode="json"),
        }
        results = run_folder.read_results(run)
        # Other test rows leave an empty entry; one that does not say what went is of another version.
        whole = "removed" in results.get("how_much", {})
        if not force and state(run, "how_much", made_with) == "done" and whole:
            say(f"how_much: already done in {run}; --force redoes it")
            return dict(results["how_much"])
        columns = list(parquet.scan(run / "scores.parquet").collect_schema())
        arm = arm_of(config, columns)
        refuse_added(config, columns, run)
        rows = read_rows(run / "rows.parquet")
        shares(arm, scores_of(run, rows.table["id"]), asked.step, config.train.seed)
        stay, aside = split_off(rows, asked.validation, config.train.seed)
        if not len(aside):
            raise UserError(
                f"{run}: --validation {asked.validation:g} sets none of the {len(rows):,} training rows aside to decide on;"
                " give another share"
            )
        redo(run, "how_much")
        started = time.monotonic()
        say(
            f"how_much: {len(aside):,} of {len(rows):,} training rows decide, the others are trained on and scored"
        )
        inner = run / "how-much" / f"validation-{asked.validation:g}"
        nested_run(inner, stay, aside, config, proof_seeds=asked.first_seeds)
        rule = (compare.same_steps, compare.workers)
        within = arm_within(inner, config, columns)
        if within.column != arm.column:
            say(
                f"how_much: the search goes by {within.column}: the rows that are left have no {arm.column} of their own"
            )
        grid = shares(within, scores_of(inner, stay.table["id"]), asked.step, config.train.seed)
        entry = search(lambda fraction, seeds: look(inner, within, fraction, seeds, *rule), grid, asked)
        entry |= {
            "margin": asked.margin,
            "validation": asked.validation,
            "same_steps": compare.same_steps,
            "arm": within.facts(),
            "confirmed": None,
        }
        if entry["fraction"] and has_test(run):
            seeds = next(one["seeds"] for one in entry["looks"] if one["fraction"] == entry["fraction"])
            found = look(run, arm, entry["fraction"], max(seeds, compare.seeds), *rule)
            entry["confirmed"] = {
                **found.facts(asked.margin / 100),
                "n_test": len(found.truth),
                "arm": arm.facts(),
            }
        entry["sentence"] = sentence(entry)
        write_manifest(run, {**manifest, "config": config.model_dump(mode="json")})
        run_folder.update_results(run, how_much=entry)
        finish(run, "how_much", made_with, seconds=round(time.monotonic() - started, 1))
        say(f"how_much: {entry['sentence']}")
    return entry


def with_changes(manifest: dict[str, Any], settings: dict[str, Any]) -> RunConfig:
    """The configuration of a run with some settings of the search and of the selection changed."""
    changes: dict[str, dict[str, Any]] = {}
    for name, value in settings.items():
        section = next((one for one in ("how_much", "compare") if name in _FIELDS[one]), "select")
        changes.setdefault(section, {})[name] = value
    config = manifest["config"]
    return checked({**config, **{one: section_with(config[one], new) for one, new in changes.items()}})


def arm_of(config: RunConfig, columns: list[str]) -> Any:
    """The way to choose rows that the selection settings describe."""
    from thresher.selection import find
    from thresher.study.arms import Arm

    select = config.select
    names, ends = columns_for(select, columns)
    by, hard = (tuple(names), tuple(ends)) if find(select.strategy).several else (names[0], ends[0])
    request = request_of(select, config.data.label)
    for name in ("prune", "end", "strategy", "options", "seed"):
        del request[name]
    return Arm(by, hard, select.end, select.strategy, select.options, request)


def refuse_added(config: RunConfig, columns: list[str], run: Path) -> None:
    """Refuse to choose by columns that someone added to the score table: a run on other rows does not have them.

    Raises
    ------
    UserError
        one line that names the first of them.
    """
    made = {*score_columns(), "id", "label", *config.data.groups}
    for name in columns_for(config.select, columns)[0]:
        if name not in made:
            raise UserError(
                f"{run}: column '{shown(name)}' was added to scores.parquet, and the rows that are scored anew do not have it;"
                " give --by a score, or --prune a share"
            )
    refuse_unloaded(config.select, [*(name for name in columns if name in made), config.data.label], run)


def arm_within(inner: Path, config: RunConfig, columns: list[str]) -> Any:
    """The way to choose rows in the run inside, by `columns`, those of the run around it, that it has too.

    Raises
    ------
    UserError
        it lacks the score that was asked for.
    """
    there = parquet.scan(inner / "scores.parquet").collect_schema()
    try:
        return arm_of(config, [name for name in columns if name in there])
    except UserError as error:
        raise UserError(f"{inner}: {error}") from None
