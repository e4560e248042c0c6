"""Whether what trainings left is whole and as it was written, without loading any of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from thresher.errors import UserError
from thresher.files import as_json, digest, file_digest, write

TRAIN_AGAIN = "the `thresher train` command that made it trains it again"


def with_checksum(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts that are kept as JSON, with a checksum of them.

    >>> sorted(with_checksum({"step": 4}))
    ['checksum', 'step']
    """
    return {**facts, "checksum": digest(facts)}


def read_facts(path: Path) -> dict[str, Any]:
    """The facts of a JSON file that `with_checksum` made.

    Raises
    ------
    ValueError
        they are not as they were written.
    """
    facts = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(facts, dict) or facts.pop("checksum", None) != digest(facts):
        raise ValueError("its checksum is not that of its content")
    return facts


def list_checkpoints(folder: Path) -> list[Path]:
    """Checkpoint folders of one run, in step order."""
    return sorted(path for path in folder.glob("step-*") if (path / "checkpoint.json").is_file())


def file_digests(folder: Path) -> dict[str, str]:
    """The digest of every file directly in a folder, by name."""
    return {path.name: file_digest(path) for path in sorted(folder.iterdir()) if path.is_file()}


def folder_fault(folder: Path, facts: str) -> str | None:
    """What is wrong with a folder whose file `facts` holds the digests of the others; None where nothing is."""
    try:
        known = read_facts(folder / facts)["files"]
        there = file_digests(folder)
    except FileNotFoundError:
        return f"{folder}: absent"
    except (OSError, ValueError, KeyError) as error:
        return f"{folder / facts}: damaged ({error})"
    wrong = next((name for name, found in known.items() if there.get(name) != found), None)
    if wrong is None:
        return None
    return f"{folder / wrong}: {'damaged (its checksum differs)' if wrong in there else 'absent'}"


def weights_digests(folder: Path) -> list[list[str]]:
    """The name of every checkpoint of a run, and the digest that its weights had when they were saved."""
    facts = {path.name: read_facts(path / "checkpoint.json") for path in list_checkpoints(folder)}
    return [[name, found["files"]["model.safetensors"]] for name, found in facts.items()]


def finished(run: Path, name: str) -> bool:
    """Whether a training ran to its end."""
    return (run / "checkpoints" / name / "done.json").is_file()


def mark_finished(run: Path, name: str, **facts: Any) -> None:
    """Write `done.json`: what is known about a training, and the digests of what it left."""
    left = [
        *(path / "checkpoint.json" for path in list_checkpoints(run / "checkpoints" / name)),
        *sorted((run / "evaluations" / name).glob("step-*.parquet")),
    ]
    files = {str(path.relative_to(run)): file_digest(path) for path in left}
    content = with_checksum({**facts, "files": files})
    write(run / "checkpoints" / name / "done.json", as_json(content))


def training_fault(run: Path, name: str) -> str | None:
    """What is wrong with what a finished training left, with the file's name; None where nothing is."""
    done = run / "checkpoints" / name / "done.json"
    try:
        known = read_facts(done)["files"]
    except (OSError, ValueError, KeyError) as error:
        return f"{done}: damaged ({error})"
    for place, digest_then in known.items():
        path = run / place
        if not path.is_file() or file_digest(path) != digest_then:
            return f"{path}: {'damaged (its checksum differs)' if path.is_file() else 'absent'}"
        fault = folder_fault(path.parent, path.name) if path.name == "checkpoint.json" else None
        if fault:
            return fault
    return None


def check_trainings(run: Path) -> None:
    """Refuse to go on from trainings that are not whole.

    Raises
    ------
    UserError
        one line that names the file, what is wrong with it, and the remedy.
    """
    for _, fault in faults(run):
        raise UserError(f"{fault}; {TRAIN_AGAIN}")


def faults(run: Path) -> Iterator[tuple[str, str]]:
    """Of the finished trainings of a run folder those that are not whole, and what is wrong with each."""
    for path in sorted((run / "checkpoints").glob("*/done.json")):
        fault = training_fault(run, path.parent.name)
        if fault:
            yield path.parent.name, fault
    model = run / "checkpoints" / "model"
    if model.is_dir() and (fault := folder_fault(model, "architecture.json")):
        yield "model", fault
