"""Select the rows to keep, and write them back in the format of the input."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Literal

import numpy as np
import polars as pl

from thresher.config import SelectConfig
from thresher.errors import UserError
from thresher.pipeline.own_files import claim, products, refuse_unlisted, remove
from thresher.pipeline.selection_settings import WholeRequest, columns_for, refuse_unloaded, whole_request
from thresher.progress import say, warn
from thresher.rows import read_rows, write_back
from thresher.rows.origin import check_unchanged, content_of
from thresher.rows.store import source_of
from thresher.rows.write_back import names_of
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.integrity import content_digest, table_problem, write_json, write_table
from thresher.run.layout import REPORT, SUSPECTS
from thresher.run.outputs import PRODUCTS
from thresher.run.steps import Facts, step
from thresher.wording import listed

# Bytes of a selection's name, which is that of a file.
LONGEST = 120
Hard = Literal["high", "low"]


def intact(run: Run, facts: Facts) -> str | None:
    """The first problem with the files of a finished selection."""
    path = run.selection_file(facts["name"])
    if problem := table_problem(path):
        return f"{path}: {problem}"
    if facts["source"] != content_of(source_of(run.rows_file)):
        return "the source of the rows has changed"
    kept, dropped = (run.folder / facts[name] for name in ("kept", "dropped"))
    if facts["written"] != content_digest(kept, dropped):
        return f"{kept.name} or {dropped.name} is not as it was written"
    return None


def selectable(run: Run, settings: SelectConfig) -> tuple[list[str], list[Hard], WholeRequest]:
    """The columns that a selection reads, the hard end of each, and the rest of the request.

    Raises UserError: an unknown score or strategy, a column that was not loaded with the rows, or a floor of classes that there
    are not.
    """
    columns = [*run.score_columns(), run.config.data.label]
    try:
        names, hard = columns_for(settings, columns[:-1])
    except UserError as error:
        raise UserError(
            f"{error}{_why_missing(str(error), run.require('score').facts['skipped'])}"
        ) from error
    refuse_unloaded(settings, columns, run)
    if run.manifest.task == "text" and settings.floor > 1 and not settings.floor_group:
        raise UserError(f"{run}: its rows have a text for a target and no classes; leave out floor")
    return names, hard, whole_request(settings, run.config.data.label)


def _why_missing(message: str, skipped: Mapping[str, str]) -> str:
    """Why the score that a message begins with was left out, to append to the message.

    >>> _why_missing("'vog_class' was not computed in this run", {"vog": "a variance needs two checkpoints"})
    '; vog was left out: a variance needs two checkpoints'
    """
    name = message.partition("'")[2].partition("'")[0]
    found = next((score for score in (name, name.rpartition("_")[0]) if score in skipped), None)
    return "" if found is None else f"; {found} was left out: {skipped[found]}"


def ready(run: Run, settings: SelectConfig) -> None:
    """Refuse what `selectable` does, a source that has changed since its rows were read, and files of somebody else."""
    selectable(run, settings)
    refuse_unlisted(run.folder, names_of(source_of(run.rows_file), PRODUCTS[0]))
    for part in source_of(run.rows_file).parts:
        check_unchanged(part)


@step("select", after="score", check=ready, problem=intact)
def select(run: Run, settings: SelectConfig) -> Facts:
    """Write a selection and the kept and dropped rows; returns the facts that report and comparison need."""
    from thresher.selection import find
    from thresher.selection import select as choose
    from thresher.selection.request import target

    assert settings.prune != "auto"
    scores = run.scan_scores()
    names, hard, request = selectable(run, settings)
    by = "+".join(names)
    name = name_of(by, settings)
    # A whole run keeps all rows where no share holds.
    read = scores.select(list(dict.fromkeys(["id", "label", *names]))).collect()
    selection = choose(scores, by=names, hard=hard, **request) if settings.prune else all_rows(read)
    if not settings.prune:
        bare = selection["kept"]
    elif settings.floor and target(read.height, settings.prune):
        request["floor"] = 0
        bare = choose(scores, by=names, hard=hard, **request)["kept"]
    else:
        bare = selection["kept"] & (settings.floor == 0)
    warn_of_floor(read["label"], bare, settings.prune, settings.floor)
    rows = read_rows(run.rows_file)
    aligned = rows.table.select("id").join(selection, on="id", how="left", maintain_order="left")
    path = run.selection_file(name)
    write_table(path, selection)
    former = products(run.folder) - {REPORT, SUSPECTS}
    claim(run.folder, names_of(rows.source, PRODUCTS[0]))
    kept_path, dropped_path = write_back(rows, aligned["kept"].to_numpy(), run.folder / "kept")
    # Rows that came in another format before: theirs would pass for this selection's.
    remove(run.folder / name for name in former - {kept_path.name, dropped_path.name})
    n_kept = int(selection["kept"].sum())
    facts = {
        **settings.model_dump(mode="json"),
        "name": name,
        "column": by,
        "hard": "+".join(hard),
        "n_rows": len(rows),
        "n_kept": n_kept,
        "kept": kept_path.name,
        "dropped": dropped_path.name,
        "key": select.key(run, settings),
        "score": run.require("score").key,
        "written": content_digest(kept_path, dropped_path),
        "source": content_of(rows.source),
    }
    write_json(path.with_suffix(".json"), facts)
    ends = "" if settings.strategy == "recommended" else f"{settings.end} end pruned, "
    how = f"by {by} ({ends}{settings.strategy})"
    if not find(settings.strategy).reads_score:
        how = f"by a {settings.strategy} draw, which reads no score"
    held_out = rows.source.held_out
    more = (
        f"; {kept_path.name} has the {len(held_out.rows):,} held-out rows too"
        if held_out and len(held_out.rows)
        else ""
    )
    say(f"select: {n_kept:,} of {len(rows):,} rows kept {how}{more}")
    if read.height >= 10 and find(settings.strategy).reads_score:
        tenths = kept_by_tenth(read[names[0]], selection["kept"], hard[0])
        say(
            f"select: share kept of each tenth by {names[0]}, hardest first: {' '.join(f'{one:.0%}' for one in tenths)}"
        )
    return facts


def all_rows(scores: pl.DataFrame) -> pl.DataFrame:
    """The selection that keeps every row of a score table: `id, key, kept`."""
    return scores.select("id", key=pl.lit(math.inf), kept=pl.lit(True))


def kept_by_tenth(score: pl.Series, kept: pl.Series, hard: Hard) -> list[float]:
    """The share of the rows that is kept in each tenth of the rows by their score, from the hardest tenth on.

    >>> score, kept = pl.Series(range(20)), pl.Series([False] * 5 + [True] * 15)
    >>> kept_by_tenth(score, kept, "high")
    [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.5, 0.0, 0.0]
    """
    order = score.arg_sort(descending=hard == "high")
    return [float(part.mean()) for part in np.array_split(kept.to_numpy()[order.to_numpy()], 10)]


def name_of(by: str, used: SelectConfig) -> str:
    """The name of a selection: column, end, strategy and share, and a hash of the other settings if any are set.

    >>> name_of("vog_class", SelectConfig()), name_of("pvi", SelectConfig(strategy="softmax", options={"temperature": 2}))
    ('vog_class-easy-cutoff-0.45', 'pvi-easy-softmax-0.45-162495')

    It names a file: characters that are not allowed become hyphens, and a hash keeps such names distinct.

    >>> name_of("../mine", SelectConfig())
    '..-mine-easy-cutoff-0.45-d2591c'
    """
    named = {"prune", "by", "normalise", "end", "strategy"}
    others = used.model_dump(mode="json", exclude=named, exclude_defaults=True)
    name = f"{by}-{used.end}-{used.strategy}-{used.prune:g}" + (f"-{digest(others)[:6]}" if others else "")
    plain = re.sub(r"[^\w.+-]", "-", name).encode()[:LONGEST].decode(errors="ignore")
    return name if plain == name else f"{plain}-{digest(name)[:6]}"


def warn_of_floor(labels: pl.Series, kept: pl.Series, prune: float, floor: int) -> None:
    """Say which classes pruning alone would leave without a row, and what the floor does about it."""
    lost = sorted(set(labels.unique()) - set(labels.filter(kept).unique()))
    if lost:
        what = (
            f"the floor keeps up to {floor} of each" if floor else "a model cannot learn them; give --floor 1"
        )
        classes = "class" if len(lost) == 1 else "classes"
        warn(f"prune {prune:g} keeps no row of {len(lost)} {classes} ({listed(lost)}): {what}")
