"""How a run folder begins: what may be written where, which rows, which settings."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any, Literal

import polars as pl

from thresher import run_folder
from thresher.config import DataConfig, RunConfig, SelectConfig
from thresher.errors import UserError
from thresher.progress import say
from thresher.rows import Rows, audit, audit_lines, load, save_rows
from thresher.run_folder import FOLDERS, digest, read_manifest, read_results, stamp, update_results
from thresher.sealed import fault
from thresher.settings import checked
from thresher.training.folds import folds_of

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


def data_config(rows: Rows, test: Any) -> DataConfig:
    """The data section for rows that were loaded by hand."""
    where = str(test) if isinstance(test, str | Path) else None
    return DataConfig(
        train=rows.source.name, test=where, text=rows.text, label=rows.label, groups=rows.groups
    )


def load_test(test: str | Path, rows: Rows, id: str | None) -> Rows:
    """Test rows with the columns and the classes of the training rows."""
    return load(test, text=rows.text, label=rows.label, id=id, groups=rows.groups, classes=rows.classes)


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
    check(schema, where="scores", id="id", by=by, hard=hard, **request_of(select, label))


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
    if run.exists() and not run.is_dir():
        raise UserError(f"{run}: is a file, and a run is a folder; choose another --out")
    if not (run / "run.yaml").is_file():
        strange = [name for name in FOLDERS if (run / name).exists()]
        if strange:
            raise UserError(
                f"{run}: holds '{strange[0]}' but no run.yaml, so it is no run; choose another --out"
            )
        return False
    manifest = read_manifest(run)
    if manifest.get("made_with") == digest(made_with):
        return True
    other = "settings" if manifest.get("rows_hash") == made_with["rows"] else "data"
    raise UserError(f"{run}: holds a run of other {other}; choose another --out, or --force to start over")


def clear(run: Path) -> None:
    """Remove what thresher wrote into a run folder, and nothing else; `run.yaml` goes last, so it can be told apart."""
    selected = stamp(run, "select") or {}
    for place in (run / selected[name] for name in ("kept", "dropped") if name in selected):
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)
    for name in (*FOLDERS, "rows.original", "test.original"):
        shutil.rmtree(run / name, ignore_errors=True)
    for name in FILES:
        for ending in ("parquet", "original.parquet", "json", "html"):
            (run / f"{name}.{ending}").unlink(missing_ok=True)
    (run / "run.yaml").unlink(missing_ok=True)


def begin(
    run: Path, rows: Rows, test: Rows | None, config: RunConfig, made_with: dict[str, Any], **more: Any
) -> None:
    """Say what the rows hold and write them, and what describes the run, into an empty folder; `more` goes to `run.yaml`."""
    found = audit(rows, test)
    # A run inside another holds rows of its, of which that one has told.
    if not any((outer / "run.yaml").is_file() for outer in run.parents):
        for line in audit_lines(found):
            say(line)
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
    for line in audit_lines(found)[1:]:
        say(line)
    save_rows(test, run / "test.parquet")
    run_folder.write(run / "audit.json", run_folder.as_json(found))
    found_on_them = [part for part in ("compare", "sweep", "how_much", "noise") if part in read_results(run)]
    if found_on_them:
        update_results(run, **{part: {} for part in found_on_them})
    manifest = read_manifest(run)
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
