"""The run folder is the contract between the steps: what is in it, written how.

Every file is written under a temporary name and renamed, so a killed step leaves either the old file or the new.
A finished step leaves a stamp in `steps/` with the hash of the settings and of the inputs it was made with; that is how
a re-run knows that there is nothing to do, and how a folder of other data is told apart.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import yaml
from safetensors import SafetensorError

from thresher.errors import UserError

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
TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


def features_file(run: Path, which: FeaturesOf = "rows") -> Path:
    """Where the encoder's features of the training rows, of the test rows, or of the empty input are."""
    return run / ("features.parquet" if which == "rows" else f"features-{which}.parquet")


def scoring_run(run: Path) -> Path:
    """The run folder whose model scored the rows: that of a proxy, which stands inside, or the folder itself."""
    inner = run / "proxy"
    return inner if (inner / "run.yaml").is_file() else run


def write(path: Path, content: bytes | str | Callable[[Path], Any]) -> None:
    """Write a file so that it is either wholly there or not at all.

    `content` is the content, or a function that writes to the temporary path it is given.

    Raises
    ------
    UserError
        the disk is full or the folder cannot be written; the file that stood there before is untouched.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder) / "a.txt", "kept")
    ...     (Path(folder) / "a.txt").read_text()
    'kept'
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if callable(content):
            content(temporary)
        else:
            temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    except Exception as error:
        if not failed_to_write(error):
            raise
        raise unwritable(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def same_file(source: Path, path: Path) -> bool:
    """Whether a file is there and has the content of another one."""
    return path.is_file() and file_digest(path) == file_digest(source)


def copy_file(source: Path, path: Path) -> None:
    """Write a copy of a file, unless the same content stands there."""
    if not same_file(source, path):
        write(path, lambda temporary: shutil.copyfile(source, temporary))


def write_folder(path: Path, fill: Callable[[Path], Any]) -> None:
    """Like `write`, for a folder: `fill` writes into a temporary folder, which then takes the name.

    A folder that stood there is renamed away first: whoever is killed in between leaves none, and never half of one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    former = path.with_name(f".{path.name}-former.{os.getpid()}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        fill(temporary)
        if path.exists():
            path.replace(former)
        temporary.replace(path)
    except Exception as error:
        if former.exists() and not path.exists():
            former.replace(path)
        if not failed_to_write(error):
            raise
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(former, ignore_errors=True)


def sweep(run: Path) -> None:
    """Remove the temporary files and folders that killed processes left; for who holds the lock."""
    places = [run.iterdir(), *((run / name).rglob("*.tmp") for name in FOLDERS)]
    for path in [path for found in places for path in found if TEMPORARY.fullmatch(path.name)]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def failed_to_write(error: Exception) -> bool:
    """Whether an error is one of writing a file: polars and torch have their own classes for it.

    >>> failed_to_write(OSError(28, "No space left on device")), failed_to_write(RuntimeError("shapes differ"))
    (True, False)
    """
    return isinstance(error, OSError | SafetensorError) or any(
        sign in str(error) for sign in ("(os error ", "inline_container.cc")
    )


def unwritable(path: Path, error: Exception) -> UserError:
    """The one line for a disk that is full or a place that cannot be written."""
    full = getattr(error, "errno", None) == errno.ENOSPC or "os error 28" in str(error)
    # torch does not say why it could not write.
    if full or ("inline_container.cc" in str(error) and _free(path) < 1 << 20):
        return UserError(f"{path}: the disk is full; free some space and run the same command again")
    reason = getattr(error, "strerror", None) or str(error).strip().splitlines()[0]
    return UserError(f"{path}: cannot be written ({reason}); choose another --out")


def _free(path: Path) -> int:
    there = next(one for one in (path, *path.absolute().parents) if one.exists())
    return shutil.disk_usage(there).free


def as_json(value: Any) -> str:
    """Readable JSON, any script as it is."""
    return json.dumps(value, indent=1, ensure_ascii=False, default=str)


def digest(value: Any) -> str:
    """A short hash of anything JSON can hold; equal values give equal hashes whatever the key order.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def file_digest(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=12)).hexdigest()


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
    return manifest


def write_manifest(run: Path, manifest: dict[str, Any]) -> None:
    """Write `run.yaml`."""
    write(
        run / "run.yaml", yaml.safe_dump({"format": FORMAT, **manifest}, sort_keys=False, allow_unicode=True)
    )


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
