"""`run.yaml`: what describes a run, typed; written once when the run starts, and read once per command.

The settings of the steps after training may be edited in it. The rest, from which the files of the run follow, has a checksum.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from thresher.config import RunConfig
from thresher.errors import UserError
from thresher.run.files import digest, write
from thresher.settings import LOADER, checked

FORMAT: Literal[3] = 3
FILE = "run.yaml"
Source = Literal["own", "recorded", "proxy"]
Task = Literal["label", "tokens", "text"]
# What may be edited: the settings of the steps after training, and what changes no result.
_LATER = ("measure", "score", "select", "compare", "how_much", "sweep", "noise")
_EDITABLE: dict[str, Any] = {
    **dict.fromkeys(("thresher", "versions", "created", "decision"), True),
    "config": {**dict.fromkeys((*_LATER, "preset"), True), "data": {"train", "test"}, "train": {"workers"}},
}


class Recorded(BaseModel):
    """The training of someone else that a run was recorded from."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    trainer: str
    model: str
    name: str
    epochs: float
    batch_size: int
    processes: int
    seed: int | None


class HeldOut(BaseModel):
    """How many rows were held out of the training rows to test on, which share was asked for, and of which classes none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rows: int
    share: float
    too_small: tuple[str, ...] = ()


class Decision(BaseModel):
    """What the last whole job decided: the word, the sentence, the share to drop, and the selection that was written."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    word: str
    sentence: str
    prune: float
    selection: str


class Manifest(BaseModel):
    """What describes a run.

    `source`: where its scores come from: its own training, a recorded training, or a cheaper proxy model. `key`: a digest of
    the rows, the model and the recipe; a folder of another key holds another run. Hashes are of contents, see `Rows.hash`.
    `held_out`: the rows of the input that `n_rows` does not count, because they are tested on. `decision`: that of the last
    `thresher run`. `task`: what the target of a row is, as in `Rows`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[3] = FORMAT
    thresher: str
    versions: dict[str, str]
    created: str
    source: Source = "own"
    recorded: Recorded | None = None
    key: str
    rows_hash: str
    test_hash: str | None
    n_rows: int
    n_test: int
    held_out: HeldOut | None = None
    classes: tuple[str, ...]
    task: Task = "label"
    decision: Decision | None = None
    config: RunConfig


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run folder.

    Raises UserError: not a run folder, one of another format, or a `run.yaml` that was damaged, or edited where it may not be.
    """
    path = folder / FILE
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except FileNotFoundError:
        raise UserError(
            f"{folder}: not a run folder (no {FILE}); make one with `thresher run` or `thresher train`"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(
            f"{path}: broken YAML ({' '.join(str(error).split())}); restore it or start over with --out"
        ) from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        other = found.get("format") if isinstance(found, dict) else None
        raise UserError(
            f"{folder}: run folder of format {other}, this version reads {FORMAT}; start over with --out"
        )
    if not isinstance(found.get("config"), dict):
        raise UserError(f"{path}: has no config; restore it or start over with --out")
    try:
        config = checked(found["config"])
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    known = found.pop("checksum", None)
    try:
        manifest = Manifest.model_validate({**found, "config": config})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {place}: {first['msg']}; restore it or start over with --out") from error
    if known != checksum(manifest):
        raise UserError(
            f"{path}: the rows, the classes, the model or the recipe in it were edited after the run was started; restore it or"
            " start over with --out"
        )
    return manifest


def written_by_run(path: Path) -> bool:
    """Whether a `run.yaml` is one that a run wrote, of whatever format, and not settings for one."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), LOADER)
    except (OSError, yaml.YAMLError, ValueError):
        return False
    return isinstance(found, dict) and "format" in found


def checksum(manifest: Manifest) -> str:
    """The digest of what the files of the run follow from."""
    content = manifest.model_dump(mode="json", exclude=_EDITABLE)
    # Older run.yaml do not have them.
    if manifest.held_out is None:
        del content["held_out"]
    if manifest.task == "label":
        del content["task"]
    if manifest.config.data.task == "label":
        del content["config"]["generate"]
        for name in ("task", "prompt", "completion", "messages"):
            del content["config"]["data"][name]
    return digest(content)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    # Characters beyond ASCII are escaped: some, such as U+0085, are read back as a space otherwise.
    content = {**manifest.model_dump(mode="json"), "checksum": checksum(manifest)}
    write(folder / FILE, yaml.safe_dump(content, sort_keys=False))
