"""The point that a killed training goes on from: Trainer's own state, told whole by a file that is written last."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from thresher.errors import UserError
from thresher.execution.torchrun import world
from thresher.run.integrity import file_digests, read_json, write_json

Recorded = dict[str, list[int]]

WHOLE = "thresher-whole.json"
KEPT = 2


def step_of(state: Path) -> int:
    """The step that a state was saved after."""
    return int(state.name.split("-")[1])


def saved_states(folder: Path) -> list[Path]:
    """What Trainer saved in a folder, whole or not, the newest first."""
    return sorted(folder.glob("checkpoint-*"), key=step_of, reverse=True)


def mark_whole(state: Path, recorded: Recorded) -> None:
    """Note that a state is wholly there, with the digests of its files and the steps of what was `recorded` until then, and
    remove those before the last one.
    """
    facts = {"processes": world(), "recorded": recorded, "files": file_digests(state)}
    write_json(state / WHOLE, facts)
    for older in saved_states(state.parent)[KEPT:]:
        remove(older)


def remove(state: Path) -> None:
    """Remove a state; it stops being whole first, so that half of it is never taken for all."""
    (state / WHOLE).unlink(missing_ok=True)
    shutil.rmtree(state)


def recorded_at(state: Path) -> Recorded:
    """The steps of what was recorded until a whole state was saved."""
    recorded: Recorded = read_json(state / WHOLE)["recorded"]
    return recorded


def resume_point(folder: Path, usable: Callable[[Recorded], bool] = lambda recorded: True) -> str | None:
    """The newest state in a folder that is whole and `usable`, given what was recorded until then; all others are removed.

    Raises
    ------
    UserError
        it was saved by another number of processes: their random states and sums are not those of this one.
    """
    point = None
    for state in saved_states(folder):
        facts = _whole(state) if point is None else None
        if facts is None or not usable(facts["recorded"]):
            remove(state)
            continue
        if facts["processes"] != world():
            how = f"`torchrun --nproc-per-node {facts['processes']} -m thresher train ...`"
            how = "without torchrun" if facts["processes"] == 1 else f"with {how}"
            raise UserError(
                f"{folder}: begun by {facts['processes']} process(es); go on {how}, or start over with --force"
            )
        point = str(state)
    return point


def _whole(state: Path) -> dict[str, Any] | None:
    try:
        facts = read_json(state / WHOLE)
        there = file_digests(state)
        return facts if "recorded" in facts and {**there, **facts["files"]} == there else None
    except (OSError, ValueError, KeyError):
        return None
