"""The run folder is the contract between the steps: what is in it, and what is finished.

A finished step leaves a stamp in `steps/` with the hash of the settings and of the inputs it was made with; that is how
a re-run knows that there is nothing to do, and how a folder of other data is told apart.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from thresher.errors import UserError
from thresher.files import TEMPORARY, as_json, digest, unwritable, write

FORMAT = 2
FeaturesOf = Literal["rows", "test", "empty"]
RunPath = str | Path
STEPS = ("train", "measure", "score", "select", "compare", "report")
FOLDERS = (
    "steps",
    "checkpoints",
    "evaluations",
    "training",
    "signals",
    "watch",
    "selections",
    "cells",
    "how-much",
    "noise",
    "proxy",
    "models",
)


def features_file(run: Path, which: FeaturesOf = "rows") -> Path:
    """Where the encoder's features of the training rows, of the test rows, or of the empty input are."""
    return run / ("features.parquet" if which == "rows" else f"features-{which}.parquet")


def words_file(run: Path) -> Path:
    """Where the margins of the training rows by their words alone are."""
    return run / "words.parquet"


def scoring_run(run: Path) -> Path:
    """The run folder whose model scored the rows: that of a proxy, which stands inside, or the folder itself."""
    inner = run / "proxy"
    return inner if (inner / "run.yaml").is_file() else run


def sweep(run: Path) -> None:
    """Remove the temporary files and folders that killed processes left; for who holds the lock."""
    places = [run.iterdir(), *((run / name).rglob("*.tmp") for name in FOLDERS)]
    for path in [path for found in places for path in found if TEMPORARY.fullmatch(path.name)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def read_manifest(run: Path) -> dict[str, Any]:
    """`run.yaml` of a run folder.

    Raises
    ------
    UserError
        not a run folder, or one of another format.
    """
    path = run / "run.yaml"
    if not path.is_file():
        raise UserError(
            f"{run}: not a run folder (no run.yaml); make one with `thresher run` or `thresher train`"
        )
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: broken YAML ({error}); restore it or start anew with --out") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        found = manifest.get("format") if isinstance(manifest, dict) else None
        raise UserError(
            f"{run}: run folder of format {found}, this version reads {FORMAT}; start anew with --out"
        )
    if not isinstance(manifest.get("config"), dict):
        raise UserError(f"{path}: has no config; restore it or start anew with --out")
    return manifest


def write_manifest(run: Path, manifest: dict[str, Any]) -> None:
    """Write `run.yaml`."""
    # Characters beyond ASCII are escaped: some, such as U+0085, come back as a space otherwise.
    write(run / "run.yaml", yaml.safe_dump({"format": FORMAT, **manifest}, sort_keys=False))


def has_test(run: Path) -> bool:
    """Whether the run has test rows."""
    return bool(read_manifest(run).get("test_hash")) and (run / "test.parquet").is_file()


def stamp(run: Path, step: str) -> dict[str, Any] | None:
    """The stamp that a finished step left, or None; one that cannot be read is none, and the step is done again."""
    path = run / "steps" / f"{step}.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return found if isinstance(found, dict) and "hash" in found else None


def state(run: Path, step: str, settings: dict[str, Any]) -> Literal["absent", "done", "other"]:
    """Whether a step is finished, not yet, or finished with other settings or inputs than these."""
    found = stamp(run, step)
    if found is None:
        return "absent"
    return "done" if found["hash"] == digest(settings) else "other"


def finish(run: Path, step: str, settings: dict[str, Any], **facts: Any) -> None:
    """Stamp a step as finished; `facts` (seconds taken, counts) are kept beside the settings."""
    content = {
        "hash": digest(settings),
        "settings": settings,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        **facts,
    }
    write(run / "steps" / f"{step}.json", as_json(content))


def redo(run: Path, step: str) -> None:
    """Take a step's stamp away before its files change, so that one killed halfway does not pass for finished."""
    (run / "steps" / f"{step}.json").unlink(missing_ok=True)


def require(run: Path, step: str) -> dict[str, Any]:
    """The stamp of a step that must have been finished before."""
    read_manifest(run)
    found = stamp(run, step)
    if found is None:
        raise UserError(f"{run}: nothing to read from `{step}` yet; run `thresher {step} {run}` first")
    return found


def by_other_scores(run: Path) -> bool:
    """Whether rows were selected, and by other scores than those that the run has now."""
    chosen = stamp(run, "select")
    return chosen is not None and chosen["settings"].get("score") != require(run, "score")["hash"]


def read_results(run: Path) -> dict[str, Any]:
    """`results.json`, empty where nothing was measured yet.

    Raises
    ------
    UserError
        it is damaged.
    """
    path = run / "results.json"
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {"format": FORMAT}
    except ValueError as error:
        raise UserError(
            f"{path}: damaged ({error}); remove it, and `thresher compare {run}` measures again"
        ) from error


def update_results(run: Path, **parts: Any) -> dict[str, Any]:
    """Replace the named top-level parts of `results.json`."""
    results = {**read_results(run), **parts}
    write(run / "results.json", as_json(results))
    return results


def forget_results(run: Path, *parts: str) -> None:
    """Empty the named parts of `results.json`, those that are there."""
    there = read_results(run)
    if found := {part: type(there[part])() for part in parts if part in there}:
        update_results(run, **found)


@contextlib.contextmanager
def lock(run: Path) -> Iterator[None]:
    """Hold the run folder, made if need be: a second process on it is told so and leaves.

    What killed processes left half written is removed.

    A folder that was made here and that nothing was written into is removed again.

    Raises
    ------
    UserError
        another process holds it.
    """
    new = not run.exists()
    try:
        run.mkdir(parents=True, exist_ok=True)
        handle = (run / ".lock").open("a+")
    except OSError as error:
        raise unwritable(run, error) from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(
                f"{run}: another thresher process works on this folder; wait for it to end"
            ) from error
        sweep(run)
        try:
            yield
        finally:
            if new and [path.name for path in run.iterdir()] == [".lock"]:
                shutil.rmtree(run)
