"""The settings of a run with another model: frozen, or with another number of layers."""

from __future__ import annotations

from thresher.config import RunConfig, frozen_layers
from thresher.errors import UserError
from thresher.run import Run
from thresher.run.files import copy_file
from thresher.run.layout import Layout
from thresher.run.manifest import write_manifest
from thresher.settings import checked
from thresher.training.recipe import with_defaults

FROZEN_RUNS = 3  # trainings of a frozen proxy, whose scores are averaged; of many rows, one
# Settings that a head does not take from the recipe of a fine-tuned model, and those that it takes where they were given.
OF_FINE_TUNING = ("epochs", "max_steps", "batch_size", "head_lr")
OF_MANY_ROWS = ("null_epochs", "folds", "checkpoints", "forgetting_evaluations")


def other_model(config: RunConfig, encoder: str | int) -> RunConfig:
    """The settings with another model: frozen (all layers) or frozen-N, with the recipe of a head, or N layers (`all`) with the
    recipe of the run.

    >>> from thresher.config import DataConfig
    >>> run = RunConfig(data=DataConfig(train="train.jsonl", text=("text",), label="label"))
    >>> other_model(run, 6).model.layers, other_model(run, "frozen").model.freeze
    (6, True)
    >>> other_model(run, "frozen-2").model.layers
    2
    """
    values = config.model_dump()
    layers = frozen_layers(encoder)
    values["model"] |= {"freeze": layers is not None, "layers": layers or encoder}
    if layers:
        # What a fine-tuned model is trained with does not suit a head: it gets the defaults of one.
        given = config.train.model_fields_set
        for name in (*OF_FINE_TUNING, *(name for name in OF_MANY_ROWS if name not in given)):
            del values["train"][name]
    return checked({**values, "proxy": {}})


def run_of_other_model(run: Run, encoder: str) -> Run:
    """A run in `RUN/.thresher/models/` with the rows, test rows and scores of a run, for trainings of another model on them.

    Raises UserError: the encoder has fewer layers, or the model is the run's own.
    """
    from thresher.models.encoder import load_encoder

    other = other_model(run.config, encoder)
    train = with_defaults(other.model, other.train, run.manifest.n_rows)
    other = other.model_copy(update={"train": train})
    sizes = [
        (one.freeze, load_encoder(one)[0].config.num_hidden_layers)  # type: ignore[union-attr]
        for one in (run.config.model, other.model)
    ]
    if sizes[0] == sizes[1]:
        raise UserError(f"model {encoder} is that of the run itself, which is always tried; leave it out")
    there = Layout(run.home / "models" / encoder)
    copy_file(run.rows_file, there.rows_file)
    copy_file(run.test_file, there.test_file)
    manifest = run.manifest.model_copy(update={"config": other, "source": "own"})
    found = Run(there.folder, manifest)
    copy_file(run.scores_file, found.scores_file)
    write_manifest(found.folder, manifest)
    return found
