"""The run's settings with another model: frozen, or another number of layers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thresher.config import RunConfig, frozen_layers
from thresher.errors import UserError
from thresher.files import copy_file
from thresher.run_folder import read_manifest, write_manifest
from thresher.settings import checked

# A head on fixed vectors trains in seconds; docs/study.md was measured with this recipe.
FROZEN: dict[str, Any] = {"epochs": 6, "max_steps": None, "batch_size": 256, "head_lr": 5e-3}


def other_model(config: RunConfig, encoder: str | int) -> RunConfig:
    """The configuration with another model: frozen (all layers) or frozen-N, with a head's own recipe, or N layers (`all`) with
    the recipe of the run.

    >>> from thresher.config import DataConfig
    >>> run = RunConfig(data=DataConfig(train="train.jsonl", text=("text",), label="label"))
    >>> other_model(run, 6).model.layers, other_model(run, "frozen").model.freeze, other_model(run, "frozen").train.batch_size
    (6, True, 256)
    >>> other_model(run, "frozen-2").model.layers
    2
    """
    values = config.model_dump()
    layers = frozen_layers(encoder)
    values["model"] |= {"freeze": layers is not None, "layers": layers or encoder}
    values["train"] |= FROZEN if layers else {}
    return checked({**values, "proxy": {}})


def beside(run: Path, encoder: str) -> Path:
    """A run folder in `RUN/models/` with the rows, test rows and scores of a run, for trainings of another model on them.

    Raises
    ------
    UserError
        the encoder has fewer layers, or the model is the run's own.
    """
    from thresher.models.encoder import load_encoder

    manifest = read_manifest(run)
    config = RunConfig.model_validate(manifest["config"])
    other = other_model(config, encoder)
    sizes = [
        (one.freeze, load_encoder(one)[0].config.num_hidden_layers)  # type: ignore[union-attr]
        for one in (config.model, other.model)
    ]
    if sizes[0] == sizes[1]:
        raise UserError(f"model {encoder} is that of the run itself, which is always tried; leave it out")
    folder = run / "models" / encoder
    for name in ("rows.parquet", "test.parquet", "scores.parquet"):
        copy_file(run / name, folder / name)
    write_manifest(folder, {**manifest, "config": other.model_dump(mode="json")})
    return folder
