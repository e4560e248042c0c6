"""How a run folder begins: what may be written where, which rows, which settings."""

from __future__ import annotations

import contextlib
import json
import platform
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Literal

import polars as pl

from thresher import run_folder
from thresher.config import DataConfig, RunConfig, SelectConfig
from thresher.errors import UserError
from thresher.progress import say, warn
from thresher.rows import Rows, audit, audit_lines, load, overlap_share, save_rows
from thresher.run_folder import FOLDERS, digest, read_manifest, read_results, update_results
from thresher.sealed import fault
from thresher.settings import checked
from thresher.training.folds import folds_of
from thresher.wording import listed

# What thresher writes into a run folder: files by their names and endings, and what users take home from it.
FILES = (
    "rows",
    "test",
    "features",
    "features-test",
    "features-empty",
    "scores",
    "map",
    "audit",
    "results",
    "report",
)
ENDINGS = ("parquet", "original.parquet", "json", "html")
ORIGINALS = ("rows.original", "test.original")
PRODUCTS = ("kept", "dropped")
# Shared texts beyond this share of the test rows are warned of.
MUCH = 0.2


def data_config(rows: Rows, test: Any) -> DataConfig:
    """The data section for rows that were loaded by hand.

    Raises
    ------
    UserError
        they were not loaded.
    """
    if not isinstance(rows, Rows):
        raise UserError(
            f"rows are {type(rows).__name__}; load them first: thresher.load(..., text=..., label=...)"
        )
    where = str(test) if isinstance(test, str | Path) else None
    return DataConfig(
        train=rows.source.name, test=where, text=rows.text, label=rows.label, groups=rows.groups
    )


def load_test(test: Any, rows: Rows, id: str | None) -> Rows:
    """Test rows with the columns and the classes of the training rows; of what is loaded already the classes are made theirs."""
    if isinstance(test, Rows):
        return in_classes_of(rows, test)
    return load(test, text=rows.text, label=rows.label, id=id, groups=rows.groups, classes=rows.classes)


def in_classes_of(rows: Rows, test: Rows) -> Rows:
    """The test rows with their labels numbered as the training rows' are.

    Raises
    ------
    UserError
        a label that the training rows do not have, or another number of text columns.
    """
    if len(test.text) != len(rows.text):
        raise UserError(
            f"the test rows have the text columns {', '.join(test.text)}, the training rows {', '.join(rows.text)}"
        )
    unseen = sorted(set(test.table[test.label].unique()) - set(rows.classes))
    if unseen:
        raise UserError(
            f"{test.source.name}: {len(unseen)} label{'s' * (len(unseen) > 1)} never seen in the training rows:"
            f" {listed(unseen, 5)}"
        )
    return replace(test, classes=rows.classes)


def check_selection(select: SelectConfig, groups: tuple[str, ...], label: str) -> None:
    """Refuse a selection that could not be made at the end of a run, before hours are spent on training.

    Raises
    ------
    UserError
        an unknown score, strategy or strategy option, or a group column that was not loaded.
    """
    from thresher.scores import scores
    from thresher.scores.registry import FORMS
    from thresher.selection.request import check

    names = [f"{name}{suffix}" for name in scores() for suffix in ("", *FORMS)]
    schema: dict[str, pl.DataType] = dict.fromkeys(("id", "label", *groups), pl.String())
    schema |= dict.fromkeys(names, pl.Float64())
    by, hard = columns_for(select, list(schema))
    refuse_unloaded(select, [*schema, label])
    check(schema, where="scores", id="id", by=by, hard=hard, **request_of(select, label))


def refuse_unloaded(select: SelectConfig, columns: Sequence[str], run: Path | None = None) -> None:
    """Refuse a selection by a column of the file that was not loaded as a group; `run`: a folder that is there already.

    Raises
    ------
    UserError
        one line that names it.
    """
    protected = [text.partition("=")[0] for text in select.protect if "=" in text]
    asked = [*select.floor_group, *([select.stratify] if select.stratify else []), *protected]
    for name in (name for name in asked if name and name not in columns):
        mend = "start a run with" if run else "add"
        raise UserError(f"column '{name}' was not loaded with the rows; {mend} --group {name}")


def columns_for(
    select: SelectConfig, columns: Sequence[str]
) -> tuple[list[str], list[Literal["high", "low"]]]:
    """Which of the `columns` a selection goes by, as many as its strategy takes, and which end of each is hard.

    Raises
    ------
    UserError
        an unknown strategy, score or column.
    """
    from thresher.scores import columns_of
    from thresher.selection import find

    entry = find(select.strategy)
    return columns_of(entry.score(select.by), select.normalise, columns, entry.several)


def request_of(select: SelectConfig, label: str) -> dict[str, Any]:
    """What a selection is asked for on the score table, where the label column is called `label`."""

    def named(column: str) -> str:
        return "label" if column == label else column

    from thresher.selection import strategies

    known = strategies().get(select.strategy)
    stratify = "label" if known is not None and known.least is not None else None
    protect = [text.partition("=") for text in select.protect]
    return {
        # What auto finds is a share like this.
        "prune": 0.5 if select.prune == "auto" else select.prune,
        "end": select.end,
        "strategy": select.strategy,
        "options": select.options,
        "stratify": stratify if select.stratify is None else named(select.stratify),
        "floor": select.floor,
        "floor_group": ("label", *map(named, select.floor_group)),
        "protect": [f"{named(column)}{equals}{value}" for column, equals, value in protect],
        "seed": select.seed,
    }


def train_settings(rows: Rows, config: RunConfig) -> dict[str, Any]:
    """What makes two trainings the same: the rows, the model and the recipe, but no test rows."""
    proxy = {} if config.proxy.encoder == "none" else {"proxy": config.proxy.encoder}
    folds = folds_of(config.model, config.train)
    return {
        **proxy,
        **({"folds": folds} if folds else {}),
        "rows": rows.hash(),
        "columns": [*rows.text, rows.label, *rows.groups],
        "model": config.model.model_dump(mode="json"),
        "train": config.train.model_dump(mode="json", exclude={"workers", "folds"}),
    }


def refuse_other(run: Path, made_with: dict[str, Any]) -> bool:
    """Whether the folder already holds this run.

    Raises
    ------
    UserError
        it holds another run, one of another format, or files of thresher's names that are no run.
    """
    refuse_strange(run)
    if not (run / "run.yaml").is_file():
        return False
    manifest = read_manifest(run)
    if manifest.get("made_with") == digest(made_with):
        return True
    data = manifest["config"].get("data")
    columns = [*data["text"], data["label"], *data["groups"]] if data else []
    other = "settings" if manifest.get("rows_hash") == made_with["rows"] else "data"
    if columns and columns != made_with["columns"]:
        other = f"columns ({', '.join(columns)}; now {', '.join(made_with['columns'])})"
    raise UserError(f"{run}: holds a run of other {other}; choose another --out, or --force to start over")


def own(run: Path) -> list[Path]:
    """What stands in a folder under a name that thresher writes there, but for `run.yaml`."""
    names = {*FOLDERS, *ORIGINALS, *(f"{name}.{ending}" for name in FILES for ending in ENDINGS)}
    found = run.iterdir() if run.is_dir() else ()
    return sorted(path for path in found if path.name in names or path.name.split(".")[0] in PRODUCTS)


def refuse_strange(run: Path, but: tuple[str, ...] = ()) -> None:
    """Refuse a place that is no folder, or one that is no run and holds what a run would write over, `but` some names.

    A lock without a run was left by one that was killed as it began: the files beside it are its own.

    Raises
    ------
    UserError
        one line that names the first of them.
    """
    if run.exists() and not run.is_dir():
        raise UserError(f"{run}: is a file, and a run is a folder; choose another --out")
    if (run / "run.yaml").is_file():
        return
    begun = (run / ".lock").exists()
    strange = [path.name for path in own(run) if path.name in FOLDERS or not begun]
    for name in (name for name in strange if name not in but):
        raise UserError(f"{run}: holds '{name}' but no run.yaml, so it is no run; choose another --out")


def refuse_inputs_in(run: Path, *tables: Rows | None) -> None:
    """Refuse rows that were read from a file which the run would write over.

    Raises
    ------
    UserError
        one line that names the file.
    """
    written = {path.resolve() for path in own(run)}
    for rows in (one for one in tables if one is not None and one.source.memory is None):
        for part in rows.source.parts:
            place = Path(part.path).resolve()
            if written & {place, *place.parents}:
                raise UserError(
                    f"{part.path}: stands where a run in {run} writes a file of its own; choose another --out"
                )


def refuse_group_names(rows: Rows) -> None:
    """Refuse groups that are called like a column of the score table.

    Raises
    ------
    UserError
        one line that names the first of them.
    """
    from thresher.scores import scores
    from thresher.scores.registry import FORMS

    taken = {"label", *(f"{name}{form}" for name in scores() for form in ("", *FORMS))}
    for name in (name for name in rows.groups if name in taken):
        raise UserError(
            f"group column '{name}' is called like a column of the score table; rename it in the data"
        )


def refuse_watched(run: Path) -> None:
    """Refuse what trains anew, where the training was someone else's and was watched.

    Raises
    ------
    UserError
        it was.
    """
    if "watched" in read_manifest(run):
        raise UserError(
            f"{run}: was watched, and its training cannot be started from here; prove the selection by training with"
            " dataset.select(kept rows) and with dataset.select(as many random ones)"
        )


def clear(run: Path) -> None:
    """Remove what thresher wrote into a run folder, and nothing else; `run.yaml` goes last, so it can be told apart."""
    remove(run / name for name in products(run))
    remove(path for path in own(run) if path.name.split(".")[0] not in PRODUCTS)
    (run / "run.yaml").unlink(missing_ok=True)


def products(run: Path) -> set[str]:
    """The names of the kept and dropped rows that selections of this run have written."""
    found = set()
    for path in (run / "selections").glob("*.json"):
        with contextlib.suppress(ValueError, OSError):
            facts = json.loads(path.read_text(encoding="utf-8"))
            found |= {Path(facts[name]).name for name in PRODUCTS if name in facts}
    return found


def remove(paths: Iterable[Path]) -> None:
    """Remove files and folders that may be there."""
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def begin(
    run: Path, rows: Rows, test: Rows | None, config: RunConfig, made_with: dict[str, Any], **more: Any
) -> None:
    """Say what the rows hold and write them, and what describes the run, into an empty folder; `more` goes to `run.yaml`."""
    found = audit(rows, test)
    # A run inside another holds rows of its, of which that one has told.
    if not any((outer / "run.yaml").is_file() for outer in run.parents):
        tell(audit_lines(found), found)
    save_rows(rows, run / "rows.parquet")
    if test is not None:
        save_rows(test, run / "test.parquet")
    run_folder.write(run / "audit.json", run_folder.as_json(found))
    versions = {"python": platform.python_version()}
    versions |= {name: installed(name) for name in ("torch", "transformers", "polars")}
    run_folder.write_manifest(
        run,
        {
            "thresher": installed("thresher"),
            "versions": versions,
            "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "made_with": digest(made_with),
            "rows_hash": made_with["rows"],
            "test_hash": test.hash() if test is not None else None,
            "n_rows": len(rows),
            "n_test": len(test) if test is not None else 0,
            "classes": list(rows.classes),
            "config": config.model_dump(mode="json"),
            **more,
        },
    )


def tell(lines: Iterable[str], found: dict[str, Any]) -> None:
    """Say what an audit found, and warn, even when quiet, of a test set that stands in the training rows to a good part."""
    for line in lines:
        say(line)
    overlap = overlap_share(found)
    if overlap >= MUCH:
        warn(f"{overlap:.0%} of the test rows stand in the training rows: accuracy on them is no proof")


def go_on(run: Path, rows: Rows, test: Rows | None, data: DataConfig) -> None:
    """Take up a run where its files are now, and with the test rows that are given now."""
    manifest = read_manifest(run)
    known = manifest["config"]["data"]
    if known["train"] != data.train or fault(run / "rows.parquet"):
        save_rows(rows, run / "rows.parquet")
        change_config(run, "data", train=data.train)
    if test is not None and (test.hash() != manifest["test_hash"] or fault(run / "test.parquet")):
        set_test(run, rows, test, data.test)


def set_test(run: Path, rows: Rows, test: Rows, where: str | None) -> None:
    """Give a run folder its test rows, or other ones; comparisons on the former go."""
    found = audit(rows, test)
    tell(audit_lines(found)[1:], found)
    manifest = read_manifest(run)
    # Killed in between, the run has no test rows, rather than others than those it names.
    write_manifest(run, {**manifest, "test_hash": None, "n_test": 0})
    save_rows(test, run / "test.parquet")
    run_folder.write(run / "audit.json", run_folder.as_json(found))
    found_on_them = [part for part in ("compare", "sweep", "how_much", "noise") if part in read_results(run)]
    if found_on_them:
        update_results(run, **{part: {} for part in found_on_them})
    manifest |= {"test_hash": test.hash(), "n_test": len(test)}
    manifest["config"]["data"]["test"] = where
    write_manifest(run, manifest)


def changed(
    run: Path, section: str, changes: Mapping[str, Any], name: Callable[[str], str] = str
) -> tuple[dict[str, Any], RunConfig]:
    """The manifest and the configuration of a run with some settings of one section changed; nothing is written.

    Raises
    ------
    UserError
        an unknown setting, or a value that it does not take.
    """
    manifest = read_manifest(run)
    config = manifest["config"]
    now = checked({**config, section: {**config.get(section, {}), **changes}}, name)
    return {**manifest, "config": now.model_dump(mode="json")}, now


def change_config(run: Path, section: str, **changes: Any) -> dict[str, Any]:
    """Write changed settings of one section to `run.yaml`; returns the section."""
    manifest, _ = changed(run, section, changes)
    write_manifest(run, manifest)
    return dict(manifest["config"][section])


def write_manifest(run: Path, manifest: Mapping[str, Any]) -> None:
    """Write `run.yaml` where it differs from what is there."""
    if manifest != read_manifest(run):
        run_folder.write_manifest(run, {name: manifest[name] for name in manifest if name != "format"})
