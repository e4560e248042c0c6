"""What a run folder holds so far, read for the report."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thresher import parquet
from thresher.errors import UserError
from thresher.run_folder import STEPS, read_manifest

# The paper's scores come first and keep their colours, whatever else was computed.
USUAL = ("vog", "el2n", "forgetting", "pvi", "tracin")


@dataclass(frozen=True)
class Selection:
    """A choice of rows: its settings, and per row whether it is kept."""

    name: str
    facts: dict[str, Any]
    table: pl.DataFrame  # id, key, kept


@dataclass(frozen=True)
class RunFiles:
    """The files of a run folder as tables and plain values; None or empty where a step has not been run yet."""

    run: Path
    manifest: dict[str, Any]
    audit: dict[str, Any] | None
    rows: pl.DataFrame | None
    scores: pl.DataFrame | None
    about: dict[str, Any]
    selections: dict[str, Selection]
    compared: dict[str, dict[str, Any]]
    similarity: list[dict[str, Any]]
    stamps: dict[str, dict[str, Any]]  # of every step but the report's own
    encoder: dict[str, Any]  # its Hugging Face configuration
    sweep: dict[str, Any] | None = None
    plane: pl.DataFrame | None = None  # id, x, y


def read_run(run: Path) -> RunFiles:
    """Read what is there.

    Raises
    ------
    UserError
        not a run folder, one of another format, or a damaged file in it.
    """
    manifest = read_manifest(run)
    results = _json(run / "results.json") or {}
    facts = {path.stem: _json(path) or {} for path in sorted((run / "selections").glob("*.json"))}
    stamps = {step: found for step in STEPS[:-1] if (found := _json(run / "steps" / f"{step}.json"))}
    now = stamps.get("score", {}).get("hash")
    facts = {name: found for name, found in facts.items() if found.get("score", now) == now}
    tables = {name: _parquet(run / "selections" / f"{name}.parquet") for name in facts}
    return RunFiles(
        run=run,
        manifest=manifest,
        audit=_json(run / "audit.json"),
        rows=_parquet(run / "rows.parquet"),
        scores=_parquet(run / "scores.parquet"),
        about=_about(_json(run / "scores.json")),
        selections={
            name: Selection(name, facts[name], table) for name, table in tables.items() if table is not None
        },
        compared={
            name: entry
            for name, entry in (results.get("compare") or {}).items()
            if name in facts and _of(entry, facts[name])
        },
        similarity=results.get("similarity") or [],
        stamps=stamps,
        encoder=_json(run / "checkpoints" / "model" / "config.json") or {},
        sweep=results.get("sweep"),
        plane=_parquet(run / "map.parquet"),
    )


def _of(entry: dict[str, Any], facts: dict[str, Any]) -> bool:
    """Whether a comparison is of the selection that has its name now, and not of a former one."""
    return entry.get("select", facts.get("select")) == facts.get("select", entry.get("select"))


def shown_selection(files: RunFiles) -> Selection | None:
    """The selection that the page is about: the last one chosen if it was compared, else the last one compared, else the last
    one chosen."""
    chosen = files.stamps.get("select", {}).get("name")
    proved = files.stamps.get("compare", {}).get("name")
    compared = [name for name in files.compared if name in files.selections]
    wanted = [chosen] if chosen in compared else [proved if proved in compared else None, *compared[::-1]]
    for name in [*wanted, chosen, *list(files.selections)[::-1]]:
        if name in files.selections:
            return files.selections[name]
    return None


def next_command(files: RunFiles, step: str) -> str:
    """The command that makes what is missing for a step, which may be an earlier step.

    A comparison of a run without test rows asks for them. That of a watched training is the user's own, so it is Python.
    """
    if step == "compare" and "watched" in files.manifest and files.selections:
        kept = json.dumps(str(files.run / "kept.parquet"))
        return f'kept = pl.read_parquet({kept})["index"]\nTrainer(..., train_dataset=dataset.select(kept)).train()'
    run = shlex.quote(str(files.run))
    done = {
        "train": "train" in files.stamps,
        "measure": "measure" in files.stamps,
        "score": files.scores is not None,
        "select": bool(files.selections),
    }
    first = next((name for name in STEPS[: STEPS.index(step)] if not done[name]), step)
    test = " --test FILE" if first == "compare" and not files.manifest.get("test_hash") else ""
    if first == "train":
        # The settings stand in run.yaml: the model, the recipe, the columns.
        return f"thresher train --config {shlex.quote(str(files.run / 'run.yaml'))} --out {run}"
    return f"thresher {first} {run}{test}"


def to_compare(files: RunFiles) -> str:
    """What stands before the command that compares."""
    if "watched" in files.manifest:
        return (
            "This training was watched and cannot be started from here. To prove the selection, train on the kept rows, and on as"
            " many random ones:"
        )
    if files.manifest.get("test_hash"):
        return "To retrain on the kept rows and on as many random ones:"
    return "The proof needs test rows, and this run was given none. To retrain and test on some:"


def score_order(names: Iterable[str]) -> list[str]:
    """The paper's scores in the paper's order, all five, then the others.

    >>> score_order(["aum", "pvi"])
    ['vog', 'el2n', 'forgetting', 'pvi', 'tracin', 'aum']
    """
    return [*USUAL, *sorted(set(names) - set(USUAL))]


def _about(found: dict[str, Any] | None) -> dict[str, Any]:
    scores = (found or {}).get("scores", {})
    return {
        "scores": {name: scores[name] for name in score_order(scores) if name in scores},
        "skipped": (found or {}).get("skipped", {}),
        "stability": (found or {}).get("stability"),
    }


def _json(path: Path) -> Any:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(
            f"{path}: damaged ({error}); run the step that writes it again with --force"
        ) from error


def _parquet(path: Path) -> pl.DataFrame | None:
    if not path.is_file():
        return None
    try:
        return parquet.read(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise UserError(f"{path}: damaged; run the step that writes it again with --force") from error
