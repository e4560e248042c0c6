"""`run.yaml`: what describes a run, typed; written once when the run starts, and read once per command."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from thresher.config import RunConfig
from thresher.errors import UserError
from thresher.run.files import write
from thresher.settings import LOADER, checked

FORMAT: Literal[3] = 3
FILE = "run.yaml"
Source = Literal["own", "recorded", "proxy"]


class Recorded(BaseModel):
    """The training of someone else that a run was recorded from."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())

    trainer: str
    model: str
    name: str
    epochs: float
    batch_size: int
    processes: int
    seed: int


class Manifest(BaseModel):
    """What describes a run.

    `source`: where its scores come from: its own training, a recorded training, or a cheaper proxy model. `key`: a digest of
    the rows, the model and the recipe; a folder of another key holds another run. Hashes are of contents, see `Rows.hash`.
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
    classes: tuple[str, ...]
    config: RunConfig


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a run folder.

    Raises
    ------
    UserError
        not a run folder, one of another format, or a `run.yaml` that was damaged or has a wrong value.
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
    config = checked(found["config"], lambda place: f"{path}: {place}")
    try:
        return Manifest.model_validate({**found, "config": config})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{path}: {place}: {first['msg']}; restore it or start over with --out") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write `run.yaml`."""
    # Characters beyond ASCII are escaped: some, such as U+0085, are read back as a space otherwise.
    write(
        folder / FILE, yaml.safe_dump(manifest.model_dump(mode="json", exclude_none=False), sort_keys=False)
    )
