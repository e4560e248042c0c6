"""The files of a run folder that the report needs, read into memory."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from thresher.errors import UserError
from thresher.facts.audit import Audit
from thresher.facts.comparison import ComparisonFacts
from thresher.facts.scores import ScoresFacts, SelectionFacts, Similarity, Suspects
from thresher.facts.sweep import SweepFacts
from thresher.run import Run, parquet
from thresher.run.integrity import read_facts, read_json, read_table
from thresher.run.manifest import Manifest
from thresher.run.run import JOB, TRAIN_AGAIN, Record, command

# The paper's scores come first and keep their colours, whichever other scores there are.
USUAL = ("vog", "el2n", "forgetting", "pvi", "tracin")


@dataclass(frozen=True)
class Selection:
    """A selection: its settings, and per row whether it is kept."""

    name: str
    facts: SelectionFacts
    table: pl.DataFrame  # id, key, kept


@dataclass(frozen=True)
class RunFiles:
    """The files of a run folder as tables and plain values; None or empty if the step has not been run."""

    run: Run
    audit: Audit | None
    rows: pl.DataFrame | None
    scores: pl.DataFrame | None
    about: ScoresFacts
    selections: dict[str, Selection]
    compared: dict[str, ComparisonFacts]
    similarity: list[Similarity]
    records: dict[str, Record]  # of every finished step except the report
    encoder: dict[str, object]  # its Hugging Face configuration
    sweep: SweepFacts | None = None
    plane: pl.DataFrame | None = None  # id, x, y
    suspects: Suspects | None = None  # of the last list

    @property
    def manifest(self) -> Manifest:
        return self.run.manifest


def read_run(run: Run) -> RunFiles:
    """Read the files of the steps that have been run.

    Raises UserError: not a run folder, one of another format, or a damaged file in it.
    """
    records = {step: found for step in JOB[:-1] if (found := run.record(step))}
    scored = records["score"].key if "score" in records else None
    folder = run.step_folder("select")
    last = records["select"].facts["name"] if "select" in records else None

    def again(step: str, selection: str) -> str:
        if selection == last:
            return f"`thresher {step} {run} --force` makes it again"
        return "it is of an earlier selection; remove it"

    facts = {
        path.stem: read_facts(path, again("select", path.stem))
        for path in sorted(folder.glob("*.json"))
        if path != run.record_file("select")
    }
    facts = {name: found for name, found in facts.items() if found.get("score", scored) == scored}
    tables = {name: _parquet(run.selection_file(name), again("select", name)) for name in facts}
    compared = {name: _checked(run.comparison_file(name), again("compare", name)) for name in facts}
    proof, swept, placed = run.current("compare"), run.current("sweep"), run.current("map")
    return RunFiles(
        run=run,
        audit=_checked(run.audit_file, TRAIN_AGAIN),
        rows=_parquet(run.rows_file, TRAIN_AGAIN),
        scores=_scores(run) if scored else None,
        about=_about(records["score"].facts if "score" in records else {}),
        selections={
            name: Selection(name, facts[name], table) for name, table in tables.items() if table is not None
        },
        compared={
            name: entry
            for name, entry in compared.items()
            if entry and entry["select"] == facts[name].get("key") and entry["test"] == run.manifest.test_hash
        },
        similarity=proof.facts["similarity"] if proof else [],
        records=records,
        encoder=_encoder(run.model_folder / "config.json"),
        sweep=_checked(run.step_folder("sweep") / "result.json", f"`thresher sweep {run}` makes it again")
        if swept
        else None,
        plane=_parquet(run.map_file, f"`thresher map {run}` draws it again") if placed else None,
        suspects=_suspects(run, scored),
    )


def _suspects(run: Run, scored: str | None) -> Suspects | None:
    """What the last list of suspects holds; None if there is none, it is damaged, or the scores were computed again since."""
    try:
        found = read_json(run.suspects_file)
    except (OSError, ValueError):
        return None
    return found if found["score"] == scored else None


def _checked(path: Path, remedy: str) -> Any:
    """The facts of a JSON file with a checksum; None if there is no such file."""
    return read_facts(path, remedy) if path.exists() else None


def shown_selection(files: RunFiles) -> Selection | None:
    """The selection that the page shows: the last one made if it was compared, else the last one compared, else the last
    one made."""
    chosen, proved = (
        files.records[step].facts["name"] if step in files.records else None for step in ("select", "compare")
    )
    compared = [name for name in files.compared if name in files.selections]
    wanted = [chosen] if chosen in compared else [proved if proved in compared else None, *compared[::-1]]
    for name in [*wanted, chosen, *list(files.selections)[::-1]]:
        if name in files.selections:
            return files.selections[name]
    return None


def next_command(files: RunFiles, step: str) -> str:
    """The command to run next before a step can be done: the step itself or an earlier one.

    For a run without test rows, the command of the comparison has a placeholder for their file. A recorded training is
    compared by the user's own code, so the page shows Python.
    """
    if step == "compare" and files.manifest.source == "recorded" and files.selections:
        kept = json.dumps(str(files.run.folder / "kept.parquet"))
        return f'kept = pl.read_parquet({kept})["index"]\nTrainer(..., train_dataset=dataset.select(kept)).train()'
    run = shlex.quote(str(files.run))
    done = {
        "train": "train" in files.records,
        "measure": "measure" in files.records,
        "score": files.scores is not None,
        "select": bool(files.selections),
    }
    first = next((name for name in JOB[: JOB.index(step)] if not done[name]), step)
    test = " --test FILE" if first == "compare" and not files.manifest.test_hash else ""
    if first == "train":
        # run.yaml has the settings: the model, the recipe, the columns.
        return f"thresher train --config {shlex.quote(str(files.run.folder / 'run.yaml'))} --out {run}"
    return f"thresher {command(first)} {run}{test}"


def to_compare(files: RunFiles) -> str:
    """The sentence before the command that compares."""
    if files.manifest.source == "recorded":
        return (
            "This training was recorded and cannot be repeated from here. To prove the selection, train on the kept rows, and on"
            " as many random ones:"
        )
    if files.manifest.test_hash:
        return "To retrain on the kept rows and on as many random ones:"
    return "The proof needs test rows, and this run has none. To retrain and test on a file of test rows:"


def score_order(names: Iterable[str]) -> list[str]:
    """The paper's five scores in the paper's order, then the others.

    >>> score_order(["aum", "pvi"])
    ['vog', 'el2n', 'forgetting', 'pvi', 'tracin', 'aum']
    """
    return [*USUAL, *sorted(set(names) - set(USUAL))]


def _about(found: dict[str, Any]) -> ScoresFacts:
    scores = found.get("scores", {})
    return {
        "scores": {name: scores[name] for name in score_order(scores) if name in scores},
        "skipped": found.get("skipped", {}),
        "stability": found.get("stability"),
    }


def _scores(run: Run) -> pl.DataFrame:
    """The table of scores, whether or not a step before it was done again since."""
    run.check_scores()
    return parquet.read(run.scores_file)


def _encoder(path: Path) -> dict[str, object]:
    """The Hugging Face configuration of the encoder; empty if there is none."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: damaged ({error}); {TRAIN_AGAIN}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path}: damaged (it holds no settings); {TRAIN_AGAIN}")
    return found


def _parquet(path: Path, remedy: str) -> pl.DataFrame | None:
    """An intact table; None if there is none."""
    return read_table(path, remedy) if path.exists() else None
