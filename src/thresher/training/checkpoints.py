"""Save and load the checkpoints of a run: weights in safetensors, with step, epoch and learning rates."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from thresher.config import ModelConfig
from thresher.errors import UserError
from thresher.models.classifier import Classifier
from thresher.models.encoder import build_encoder
from thresher.models.frozen import FrozenClassifier
from thresher.quiet import quiet_transformers
from thresher.run.files import write_folder
from thresher.run.integrity import file_digests, folder_problem, read_facts, write_json
from thresher.run.run import TRAIN_AGAIN
from thresher.training.finished import checkpoint_facts, list_checkpoints


def save_weights(folder: Path, state: dict[str, Tensor], facts: Mapping[str, float]) -> None:
    """Write a folder with `model.safetensors` and `checkpoint.json` ({step, epoch, encoder_lr, head_lr, files: digests})."""

    def fill(temporary: Path) -> None:
        weights = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
        save_file(weights, temporary / "model.safetensors", metadata={"format": "pt"})
        write_json(temporary / "checkpoint.json", {**facts, "files": file_digests(temporary)})

    write_folder(folder, fill)


def checkpoint_table(folder: Path, hidden: int) -> pl.DataFrame:
    """The checkpoints of a run, one row each: index, step, epoch, encoder_lr, head_lr, hidden (embedding width).

    Raises UserError: there is no checkpoint, or the weights of one are missing or pickled.
    """
    rows = []
    for index, path in enumerate(list_checkpoints(folder)):
        if not (path / "model.safetensors").is_file():
            raise UserError(
                f"{path}: no model.safetensors (pickled checkpoints are not supported); run train again with --force"
            )
        facts = {key: value for key, value in checkpoint_facts(path).items() if key != "files"}
        rows.append({"index": index, **facts, "hidden": hidden})
    if not rows:
        raise UserError(f"{folder}: no checkpoints; run train first")
    schema = {
        "index": pl.Int32,
        "step": pl.Int64,
        "epoch": pl.Float64,
        "encoder_lr": pl.Float64,
        "head_lr": pl.Float64,
    }
    return pl.DataFrame(rows, schema={**schema, "hidden": pl.Int32})


def load_weights(path: Path, device: torch.device | str = "cpu") -> dict[str, Tensor]:
    """The weights of a checkpoint.

    Raises UserError: the file is missing or damaged.
    """
    if problem := folder_problem(path, "checkpoint.json"):
        raise UserError(f"{problem}; {TRAIN_AGAIN}")
    return load_file(path / "model.safetensors", device=str(device))


def save_architecture(
    folder: Path,
    encoder: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    config: ModelConfig,
    n_classes: int,
    head_width: int | None = None,
) -> None:
    """Save all that is needed besides weights to rebuild the classifier: encoder configuration, tokenizer, head.

    `head_width` is the width of the head's input if the encoder is frozen.
    """

    def fill(temporary: Path) -> None:
        encoder.config.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
        head = {"n_classes": n_classes, "head_width": head_width, "model": config.model_dump(mode="json")}
        write_json(temporary / "architecture.json", {**head, "files": file_digests(temporary)})

    write_folder(folder, fill)


def build_classifier(folder: Path) -> tuple[Classifier | FrozenClassifier, PreTrainedTokenizerFast | None]:
    """The classifier of a run without its weights, and its tokenizer (None if the encoder is frozen).

    Raises UserError: a file is missing or damaged.
    """
    if problem := folder_problem(folder, "architecture.json"):
        raise UserError(f"{problem}; {TRAIN_AGAIN}")
    saved = read_facts(folder / "architecture.json", TRAIN_AGAIN)
    config = ModelConfig(**saved["model"])
    if config.freeze:
        return FrozenClassifier(saved["head_width"], saved["n_classes"], config), None
    with quiet_transformers():
        encoder, tokenizer = build_encoder(folder, config.trust_remote_code)
    return Classifier(encoder, saved["n_classes"], config), tokenizer
