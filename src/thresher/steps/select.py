"""Choose the rows to keep, and write them back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from thresher import files, parquet
from thresher.begin import changed, write_manifest
from thresher.config import SelectConfig
from thresher.errors import UserError
from thresher.files import digest, file_digest
from thresher.own_files import products, remove
from thresher.progress import say, warn
from thresher.rows import read_rows, write_back
from thresher.rows.origin import check_unchanged, content_of
from thresher.rows.store import source_of
from thresher.run_folder import RunPath, finish, lock, redo, require, stamp, state
from thresher.sealed import fault, read_table, write_table
from thresher.steps.selection_settings import carried, columns_for, refuse_unloaded, request_of
from thresher.wording import listed

# Bytes of a selection's name, which is that of a file.
LONGEST = 120


def select(run: RunPath, *, force: bool = False, **settings: Any) -> pl.DataFrame:
    """Choose the rows to keep, and write them and the dropped ones in the format of the input.

    `settings`: `prune`, `by`, `end`, `normalise`, `strategy`, `options`, `stratify`, `floor`, `floor_group`, `protect`,
    `seed`. Returns `id, key, kept`; the files are `RUN/kept.*` and `RUN/dropped.*`. A class of which pruning would keep
    no row keeps `floor` of them, with a warning.

    Raises
    ------
    UserError
        nothing was scored yet, a selection that cannot be made, or a source that has changed since it was read.
    """
    run = Path(run)
    before = require(run, "score")
    settings = with_share(run, settings)
    with lock(run):
        from thresher.selection import find
        from thresher.selection import select as choose
        from thresher.selection.request import target

        manifest, config = changed(run, "select", settings)
        used = config.select
        assert used.prune != "auto"
        scores = read_table(run / "scores.parquet", f"`thresher score {run}` computes it again")
        names, hard = columns_for(used, scores.columns)
        by = "+".join(names)
        made_with = {"score": before["hash"], **used.model_dump(mode="json")}
        name = name_of(by, used)
        path = run / "selections" / f"{name}.parquet"
        done = stamp(run, "select")
        if done and not force and not fault(path) and state(run, "select", made_with) == "done":
            same = done.get("source") in (None, content_of(source_of(run / "rows.parquet")))
            if same and done.get("written") in (None, content(run, done)):
                say(f"select: already done in {run}; --force redoes it")
                return parquet.read(path)
            why = (
                f"{done['kept']} or {done['dropped']} is not as it was written" if same else "another source"
            )
            say(f"select: {why}; written again")
        refuse_unloaded(used, [*scores.columns, config.data.label], run)
        request = request_of(used, config.data.label)
        selection = choose(scores, by=names, hard=hard, **request)
        if kept_on := carried(used, settings):
            say(f"select: as before: {kept_on}")
        if used.floor and target(len(scores), used.prune):
            bare = choose(scores, by=names, hard=hard, **{**request, "floor": 0})["kept"]
        else:
            bare = selection["kept"] & (used.floor == 0)
        warn_of_floor(scores["label"], bare, used.prune, used.floor)
        rows = read_rows(run / "rows.parquet")
        aligned = rows.table.select("id").join(selection, on="id", how="left", maintain_order="left")
        for part in rows.source.parts:
            check_unchanged(part)
        redo(run, "select")
        write_table(path, selection)
        former = products(run)
        kept_path, dropped_path = write_back(rows, aligned["kept"].to_numpy(), run / "kept")
        write_manifest(run, manifest)
        n_kept = int(selection["kept"].sum())
        places = {"n_kept": n_kept, "kept": kept_path.name, "dropped": dropped_path.name}
        # Rows that came in another format before: theirs would pass for this selection's.
        remove(run / name for name in former - {kept_path.name, dropped_path.name})
        facts = {
            **used.model_dump(mode="json"),
            "column": by,
            "hard": "+".join(hard),
            "n_rows": len(rows),
            "select": digest(made_with),
            "score": before["hash"],
            **places,
        }
        files.write(path.with_suffix(".json"), files.as_json(facts))
        written = {"written": content(run, places), "source": content_of(rows.source)}
        finish(run, "select", made_with, name=name, **places, **written)
        how = f"by {by} ({used.end} end pruned, {used.strategy})"
        if not find(used.strategy).reads_score:
            how = f"by a {used.strategy} draw; no score has a say in it"
        say(f"select: {n_kept:,} of {len(rows):,} rows kept {how}")
    return selection


def name_of(by: str, used: SelectConfig) -> str:
    """What a selection is called: column, end, strategy and share, and a hash of the other settings where they are set.

    >>> name_of("vog_class", SelectConfig()), name_of("pvi", SelectConfig(strategy="softmax", options={"temperature": 2}))
    ('vog_class-easy-cutoff-0.45', 'pvi-easy-softmax-0.45-162495')

    It names a file: what a file's name does not take becomes a hyphen, and a hash tells such names apart.

    >>> name_of("../mine", SelectConfig())
    '..-mine-easy-cutoff-0.45-d2591c'
    """
    named = {"prune", "by", "normalise", "end", "strategy"}
    others = used.model_dump(mode="json", exclude=named, exclude_defaults=True)
    name = f"{by}-{used.end}-{used.strategy}-{used.prune:g}" + (f"-{digest(others)[:6]}" if others else "")
    plain = re.sub(r"[^\w.+-]", "-", name).encode()[:LONGEST].decode(errors="ignore")
    return name if plain == name else f"{plain}-{digest(name)[:6]}"


def content(run: Path, places: Mapping[str, Any]) -> str | None:
    """A digest of the kept and the dropped rows as they were written; None where one of them is not there."""
    files: list[Path] = []
    for place in (run / places["kept"], run / places["dropped"]):
        if not place.exists():
            return None
        files += sorted(path for path in place.rglob("*") if path.is_file()) if place.is_dir() else [place]
    return digest([[path.name, file_digest(path)] for path in files])


def with_share(run: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings with the share that `prune="auto"` finds in its place.

    Raises
    ------
    UserError
        no share is shown to be free within the margin.
    """
    if changed(run, "select", settings)[1].select.prune != "auto":
        return settings
    from thresher.steps.how_much import how_much

    found = how_much(
        run, **{name: value for name, value in settings.items() if name not in ("prune", "seed")}
    )
    if not found["fraction"]:
        raise UserError(
            f"{found['sentence']} Give `thresher how-much --margin` more points, or --prune a share"
        )
    return {**settings, "prune": found["fraction"]}


def warn_of_floor(labels: pl.Series, kept: pl.Series, prune: float, floor: int) -> None:
    """Say which classes pruning alone would leave without a row, and what the floor does about it."""
    lost = sorted(set(labels.unique()) - set(labels.filter(kept).unique()))
    if lost:
        what = (
            f"the floor keeps up to {floor} of each" if floor else "a model cannot learn them; give --floor 1"
        )
        classes = "class" if len(lost) == 1 else "classes"
        warn(f"prune {prune:g} keeps no row of {len(lost)} {classes} ({listed(lost)}): {what}")
