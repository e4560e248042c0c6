"""The state that a killed training resumes from: Trainer's own files, marked as complete by a file that is written last."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypedDict

from thresher.errors import UserError
from thresher.execution.torchrun import world
from thresher.run.integrity import file_digests, read_json, write_json

Recorded = dict[str, list[int]]

COMPLETE = "thresher-complete.json"
KEPT = 2


class Complete(TypedDict):
    """What marks a state as complete."""

    processes: int
    recorded: Recorded
    files: dict[str, str]


def step_of(state: Path) -> int:
    """The step that a state was saved after."""
    return int(state.name.split("-")[1])


def saved_states(folder: Path) -> list[Path]:
    """The states that Trainer saved in a folder, complete or not, the newest first."""
    return sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True)


def mark_complete(state: Path, recorded: Recorded) -> None:
    """Mark a state as complete, with the digests of its files and the steps `recorded`, and remove all but the last two."""
    facts: Complete = {"processes": world(), "recorded": recorded, "files": file_digests(state)}
    write_json(state / COMPLETE, facts)
    for older in saved_states(state.parent)[KEPT:]:
        remove(older)


def remove(state: Path) -> None:
    """Remove a state; its mark goes first, so that an interrupted removal does not leave a state that looks complete."""
    (state / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(state)


def recorded_at(state: Path) -> Recorded:
    """The steps recorded until a complete state was saved."""
    recorded: Recorded = read_json(state / COMPLETE)["recorded"]
    return recorded


def resume_point(folder: Path, usable: Callable[[Recorded], bool] = lambda recorded: True) -> str | None:
    """The newest state in a folder that is complete and `usable`, given the steps recorded until then; all others are removed.

    Raises UserError: it was saved by another number of processes, which have other random states and sums.
    """
    point = None
    for state in saved_states(folder):
        facts = _complete(state) if point is None else None
        if facts is None or not usable(facts["recorded"]):
            remove(state)
            continue
        if facts["processes"] != world():
            how = f"`torchrun --nproc-per-node {facts['processes']} -m thresher train ...`"
            how = "without torchrun" if facts["processes"] == 1 else f"with {how}"
            raise UserError(
                f"{folder}: was started with {facts['processes']} process(es); resume {how}, or start over with --force"
            )
        point = str(state)
    return point


def _complete(state: Path) -> Complete | None:
    try:
        facts: Complete = read_json(state / COMPLETE)
        found = file_digests(state)
        return facts if "recorded" in facts and {**found, **facts["files"]} == found else None
    except (OSError, ValueError, KeyError):
        return None
