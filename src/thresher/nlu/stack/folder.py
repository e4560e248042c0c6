"""The stack folder: save and load settings, labels, rules and the models of a stack.

STACK/stack.yaml         settings, labels, hash of the rows
STACK/rows.parquet       the annotated training rows
STACK/encoder/           configuration, tokenizer and pretrained token table, shared by all models; the whole encoder if frozen
STACK/models/NAME/       model.safetensors: the other weights, and the changed rows of the token table
STACK/rules/             exact.jsonl, templates.yaml
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import nn

from thresher.errors import UserError
from thresher.models.classifier import Classifier
from thresher.models.encoder import build_encoder
from thresher.nlu.rows import Labels, load_utterances
from thresher.nlu.stack.answer import Domain, Stack
from thresher.nlu.stack.config import StackConfig, checked, flattened, stack_config
from thresher.nlu.stack.frozen import FrozenEncoder, stack_encoder
from thresher.nlu.stack.joint import JointModel
from thresher.nlu.stack.rules import Rules, read_rules
from thresher.nlu.stack.train import needs_model, tags_for
from thresher.quiet import quiet_transformers
from thresher.run.files import write_folder
from thresher.run.integrity import file_digests, folder_problem, write_json
from thresher.run.outputs import as_place
from thresher.wording import shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

FORMAT = 1
TABLE = "token_table"
DONE = "done.json"


def model_name(labels: Labels, domain: str | None) -> str:
    """The folder name of a model: `domain`, or a number and the name of the domain in safe characters.

    >>> labels = Labels({"a/b": ("x",), "music": ("y",)}, {"a/b": (), "music": ()})
    >>> model_name(labels, None), model_name(labels, "a/b")
    ('domain', '00-a_b')
    """
    if domain is None:
        return "domain"
    place = list(labels.intents).index(domain)
    return f"{place:02d}-{re.sub(r'[^A-Za-z0-9-]', '_', domain)[:40]}"


def refuse_other_files(folder: Path, manifest: str) -> None:
    """Refuse a folder that has files but not the one that describes a stack or a study."""
    files = folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())
    if files and not (folder / manifest).is_file():
        raise UserError(f"{folder}: has files but no {manifest}; choose another --out")


def save_encoder(stack: Path, encoder: Any, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write the encoder, tokenizer and token table that all models share."""

    def fill(folder: Path) -> None:
        tokenizer.save_pretrained(folder)
        if isinstance(encoder, FrozenEncoder):
            with quiet_transformers():
                encoder.whole.save_pretrained(folder)
            return
        encoder.config.save_pretrained(folder)
        weight = encoder.get_input_embeddings().weight.detach().contiguous()
        save_file({TABLE: weight}, folder / "table.safetensors", metadata={"format": "pt"})

    write_folder(stack / "encoder", fill)


def save_model(stack: Path, name: str, model: nn.Module, facts: dict[str, Any]) -> None:
    """Write a model: of its token table only the rows that differ from the pretrained ones, and without a frozen encoder."""
    state = {key: value.detach().contiguous() for key, value in model.state_dict().items()}
    if not isinstance(model.encoder, FrozenEncoder):
        pretrained = load_file(stack / "encoder" / "table.safetensors")[TABLE]
        table = state.pop(table_key(model))
        changed = (table != pretrained).any(1).nonzero().squeeze(1)
        state |= {f"{TABLE}.rows": changed, f"{TABLE}.values": table[changed].contiguous()}

    def fill(folder: Path) -> None:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        write_json(folder / DONE, {**facts, "files": file_digests(folder)})

    write_folder(stack / "models" / name, fill)


def table_key(model: nn.Module) -> str:
    """The name of the token table among the weights."""
    table = model.encoder.get_input_embeddings().weight  # type: ignore[union-attr, operator]
    return next(name for name, weight in model.named_parameters() if weight is table)


def load_model(stack: Path, name: str, model: nn.Module) -> nn.Module:
    """Load saved weights into a model.

    Raises UserError: a file that is missing or damaged.
    """
    file = stack / "models" / name / "model.safetensors"
    try:
        if problem := folder_problem(file.parent, DONE):
            raise ValueError(problem)
        state = load_file(file)
        if not isinstance(model.encoder, FrozenEncoder):
            rows, values = state.pop(f"{TABLE}.rows"), state.pop(f"{TABLE}.values")
            table = load_file(stack / "encoder" / "table.safetensors")[TABLE]
            table[rows] = values
            state[table_key(model)] = table
        model.load_state_dict(state)
    except Exception as error:
        raise UserError(f"{file}: cannot be read ({error}); train the stack again") from error
    return model.eval()


def read_stack(stack: Path) -> dict[str, Any]:
    """The content of `stack.yaml`.

    Raises UserError: not a stack folder, or one of another format.
    """
    path = stack / "stack.yaml"
    if not path.is_file():
        raise UserError(f"{stack}: not a stack folder (no stack.yaml); make one with `thresher nlu train`")
    try:
        facts = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(
            f"{path}: broken YAML ({' '.join(str(error).split())}); train the stack again"
        ) from error
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise UserError(f"{stack}: a stack folder of another version of thresher; train it again")
    return facts


def settings_of(stack: Path) -> tuple[StackConfig, Labels]:
    """Settings and labels in `stack.yaml`.

    Raises UserError: what `read_stack` refuses, missing settings or labels, or an invalid value.
    """
    facts, path = read_stack(stack), stack / "stack.yaml"
    try:
        kinds = [{name: tuple(own) for name, own in facts[kind].items()} for kind in ("intents", "slots")]
        return checked(facts["config"]), Labels(*kinds)
    except (KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: settings or labels are missing; train the stack again") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def load_stack(stack: str | Path, **thresholds: float) -> Stack:
    """A trained stack, ready to answer; `thresholds` (`domain_threshold`, `intent_threshold`) replace the saved ones.

    Raises
    ------
    UserError
        not a stack folder, an unfinished one, or a damaged file.
    """
    folder = as_place(stack)
    config, labels = settings_of(folder)
    if thresholds:
        config = stack_config({**flattened(config.model_dump()), **thresholds})
    for left in missing(folder, labels):
        raise UserError(
            f"{folder}: training is not finished ({left} is missing); run `thresher nlu train` again"
        )
    domain: Domain = None
    if len(labels.intents) > 1:
        encoder, tokenizer = _encoder(folder, config)
        classifier = Classifier(encoder, len(labels.intents), config.model)
        load_model(folder, "domain", classifier)
        domain = (classifier, tokenizer)

    @cache
    def joint(name: str) -> tuple[JointModel, PreTrainedTokenizerBase] | None:
        if not needs_model(labels, name):
            return None
        encoder, tokenizer = _encoder(folder, config)
        model = JointModel(
            encoder, len(labels.intents[name]), len(tags_for(labels.slots[name])), config.model
        )
        load_model(folder, model_name(labels, name), model)
        return model, tokenizer

    return Stack(config, labels, domain, joint, _rules(folder))


def _encoder(stack: Path, config: StackConfig) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """The encoder to load a saved model into; a frozen encoder has its weights already."""
    folder = (stack / "encoder").resolve()
    if not (folder / "config.json").is_file() or not any(folder.glob("tokenizer*.json")):
        raise UserError(
            f"{folder}: the encoder's configuration or tokenizer is missing; train the stack again"
        )
    if config.model.freeze:
        update = {"name": str(folder), "layers": "all"}
        return stack_encoder(config.model.model_copy(update=update))
    try:
        with quiet_transformers(), torch.random.fork_rng():
            return build_encoder(folder)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{folder}: cannot be read ({shown(error, 120)}); train the stack again") from error


def _rules(stack: Path) -> Rules:
    exact, templates = stack / "rules" / "exact.jsonl", stack / "rules" / "templates.yaml"
    rows = load_utterances(exact).rows if exact.is_file() else None
    return read_rules(rows, templates if templates.is_file() else None)


def missing(stack: Path, labels: Labels) -> list[str]:
    """The models that are not trained yet: `the domain classifier`, or a domain."""
    wanted: list[str | None] = [None] if len(labels.intents) > 1 else []
    wanted += [name for name in labels.intents if needs_model(labels, name)]
    return [
        name or "the domain classifier"
        for name in wanted
        if not (stack / "models" / model_name(labels, name) / DONE).is_file()
    ]
