"""How a run folder begins and is taken up again: its rows, its test rows, its settings."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from thresher import files, run_folder
from thresher.config import DataConfig, RunConfig
from thresher.errors import NoColumn, UserError
from thresher.files import digest
from thresher.own_files import refuse_strange
from thresher.progress import say, warn
from thresher.rows import Audit, Rows, audit, audit_lines, load, overlap_share, save_rows
from thresher.rows.origin import content_of
from thresher.rows.store import source_of
from thresher.run_folder import forget_results, read_manifest
from thresher.sealed import fault
from thresher.settings import checked
from thresher.training.folds import folds_of
from thresher.wording import listed, shown

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
    """Test rows with the columns and the classes of the training rows; of what is loaded already the classes are made theirs.

    Where training rows came from is often no column of test rows: groups and ids that they do not have are told, and go.
    """
    if isinstance(test, Rows):
        return in_classes_of(rows, test)
    groups = rows.groups
    while True:
        try:
            return load(test, text=rows.text, label=rows.label, id=id, groups=groups, classes=rows.classes)
        except NoColumn as error:
            if error.column not in (*groups, id):
                raise
            what = "their ids are made of their content" if error.column == id else "nothing is tested by it"
            say(f"test rows have no column '{shown(error.column)}': {what}")
            id = None if error.column == id else id
            groups = tuple(name for name in groups if name != error.column)


def in_classes_of(rows: Rows, test: Rows) -> Rows:
    """The test rows with their labels numbered, and their columns called, as the training rows' are.

    Raises
    ------
    UserError
        a label that the training rows do not have, another number of text columns, or a column of another kind that has
        the name of the training rows' text or label.
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
    names = dict(zip((*test.text, test.label), (*rows.text, rows.label), strict=True))
    if taken := sorted({new for old, new in names.items() if new != old} & set(test.groups)):
        raise UserError(
            f"the test rows have a group column '{taken[0]}', which is a text or the label of the training rows"
        )
    return replace(
        test, table=test.table.rename(names), text=rows.text, label=rows.label, classes=rows.classes
    )


def train_settings(rows: Rows, config: RunConfig) -> dict[str, Any]:
    """What makes two trainings the same: the rows, the model and the recipe, but no test rows."""
    proxy = {} if config.proxy.encoder == "none" else {"proxy": config.proxy.encoder}
    if proxy and config.proxy.trainings:
        proxy["proxy_trainings"] = config.proxy.trainings
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
    files.write(run / "audit.json", files.as_json(found))
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


def tell(lines: Iterable[str], found: Audit) -> None:
    """Say what an audit found, and warn, even when quiet, of a test set that stands in the training rows to a good part."""
    for line in lines:
        say(line)
    overlap = overlap_share(found)
    if overlap >= MUCH:
        warn(f"{overlap:.0%} of the test rows stand in the training rows: accuracy on them is no proof")


def go_on(run: Path, rows: Rows, test: Rows | None, data: DataConfig) -> None:
    """Take up a run where its files are now, and with the test rows that are given now."""
    manifest = read_manifest(run)
    known, path = manifest["config"]["data"], run / "rows.parquet"
    former = None if fault(path) else source_of(path)
    # The hash of the rows is blind to columns that the run does not use, and they are written back, too.
    if former is None or known["train"] != data.train or rows.source.parts != former.parts:
        save_rows(rows, path)
        change_config(run, "data", train=data.train)
        if former and content_of(former) != content_of(source_of(path)):
            say("train: the rows are the same and their source is not; rows are written back as it is now")
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
    files.write(run / "audit.json", files.as_json(found))
    forget_results(run, "compare", "sweep", "how_much", "noise")
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
    now = checked({**config, section: section_with(config.get(section, {}), changes)}, name)
    return {**manifest, "config": now.model_dump(mode="json")}, now


def section_with(former: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a section with some changed; options are of one strategy and go with it.

    >>> section_with({"strategy": "softmax", "options": {"temperature": 2}, "floor": 1}, {"strategy": "cutoff"})
    {'strategy': 'cutoff', 'floor': 1}
    """
    other = "strategy" in changes and changes["strategy"] != former.get("strategy")
    return {**{name: value for name, value in former.items() if not (other and name == "options")}, **changes}


def change_config(run: Path, section: str, **changes: Any) -> dict[str, Any]:
    """Write changed settings of one section to `run.yaml`; returns the section."""
    manifest, _ = changed(run, section, changes)
    write_manifest(run, manifest)
    return dict(manifest["config"][section])


def write_manifest(run: Path, manifest: Mapping[str, Any]) -> None:
    """Write `run.yaml` where it differs from what is there."""
    if manifest != read_manifest(run):
        run_folder.write_manifest(run, {name: manifest[name] for name in manifest if name != "format"})
