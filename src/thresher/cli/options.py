"""The command-line options as a table; each one is a setting of `RunConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, get_origin

from thresher.settings import setting


@dataclass(frozen=True)
class Option:
    """One option: the settings it stands for, its flag, and how help shows it."""

    places: tuple[str, ...]
    flag: str
    metavar: str
    panel: str
    help: str = ""
    alias: str = ""
    default: str = ""  # in words, where it is not that of the setting

    @property
    def several(self) -> bool:
        """Whether it may be given more than once."""
        field = setting(self.places[0])
        return field is not None and get_origin(field.annotation) in (tuple, dict)

    @property
    def parameter(self) -> str:
        return self.flag.strip("-").replace("-", "_").lower()


def _option(flag: str, places: str, metavar: str, panel: str, help: str = "", alias: str = "") -> Option:
    return Option(tuple(places.split()), flag, metavar, panel, help, alias)


DATA = (
    _option("--task", "data.task", "label|generate", "Data"),
    _option("--prompt", "data.prompt", "COL", "Data"),
    _option("--completion", "data.completion", "COL", "Data"),
    _option("--messages", "data.messages", "COL", "Data"),
    _option("--text", "data.text", "COL[,COL]", "Data", "the text column, or two for pairs of texts"),
    _option("--label", "data.label", "COL", "Data", "the label column"),
    _option("--id", "data.id", "COL", "Data", "a column of unique ids; else they are made from the content"),
    _option("--group", "data.groups", "COL[,COL]", "Data", "columns to report by: source, domain, ..."),
    _option("--where", "data.where", "COL=VALUE", "Data"),
    _option("--skip-unseen-labels", "data.skip_unseen_labels", "", "Data"),
    _option("--test", "data.test", "FILE", "Data", "labelled test rows, to prove the pruning on"),
)
PRESET = (_option("--preset", "preset", "recommended|paper", "Selection"),)
MODEL = (
    _option("--model", "model.name", "NAME|FOLDER", "Model"),
    _option("--layers", "model.layers", "N", "Model"),
    _option("--max-length", "model.max_length", "N", "Model"),
    _option("--freeze", "model.freeze", "", "Model"),
    _option("--proxy", "proxy.encoder", "frozen[-N]|N", "Model"),
    _option("--lora", "generate.lora", "R", "Model"),
)
TRAIN = (
    _option("--epochs", "train.epochs", "X", "Training", "passes over the rows"),
    _option("--batch-size", "train.batch_size", "N", "Training", "rows per step"),
    _option("--encoder-lr", "train.encoder_lr", "X", "Training", "peak learning rate of the encoder"),
    _option("--head-lr", "train.head_lr", "X", "Training", "peak learning rate of the head"),
    _option("--lr", "generate.lr", "X", "Training"),
    _option("--runs", "train.runs", "N", "Training"),
    _option("--folds", "train.folds", "N", "Training"),
    _option("--checkpoints", "train.checkpoints", "N", "Training"),
    _option("--threads", "train.threads", "N", "Training"),
    _option("--diet", "train.diet", "NAME", "Training"),
    _option("--diet-option", "train.diet_options", "NAME=X", "Training", "e.g. r=0.7"),
)
SEED = (
    _option("--seed", "train.seed select.seed", "N", "Training", "of training and of sampled selections"),
)
TRAIN_SEED = (_option("--seed", "train.seed", "N", "Training", "of the first run; the next ones follow it"),)
MEASURE = (
    _option("--chunk-rows", "measure.chunk_rows", "N", "Measuring"),
    _option("--batch-tokens", "measure.batch_tokens", "N", "Measuring"),
    _option("--engine", "measure.engine", "NAME", "Measuring"),
    _option("--address", "measure.address", "HOST:PORT", "Measuring"),
    _option("--store", "measure.store", "URL", "Measuring"),
    _option("--features", "measure.features", "", "Measuring"),
    _option("--words", "measure.words", "", "Measuring"),
)
MEASURE_WORKERS = (_option("--workers", "measure.workers", "N", "Measuring"),)
CHOICE: tuple[Option, ...] = (
    _option("--by", "select.by", "SCORE", "Selection"),
    _option("--end", "select.end", "easy|hard", "Selection", "which end of the score is dropped"),
    _option("--strategy", "select.strategy", "NAME", "Selection", "how rows are chosen by their score"),
    _option("--strategy-option", "select.options", "NAME=X", "Selection", "e.g. temperature=0.5"),
    _option("--normalise", "select.normalise", "auto|raw|class|dataset", "Selection"),
    _option("--stratify", "select.stratify", "COL", "Selection"),
    _option("--floor", "select.floor", "N", "Selection"),
    _option("--protect", "select.protect", "COL=VALUE", "Selection", "rows that are never dropped"),
)
SELECT = (
    _option("--prune", "select.prune", "P|auto", "Selection", "share of the rows to drop, between 0 and 1"),
    *CHOICE,
)
FLOOR_GROUP = (_option("--floor-group", "select.floor_group", "COL[,COL]", "Selection"),)
SELECT_ALONE = (
    *SELECT,
    _option("--floor-group", "select.floor_group", "COL[,COL]", "Selection", alias="--group"),
    _option("--seed", "select.seed", "N", "Selection", "of sampled selections and of ties"),
)
COMPARE = (
    _option("--seeds", "compare.seeds", "N", "Proof", "trainings per arm"),
    _option("--most-seeds", "compare.most_seeds", "N", "Proof"),
    _option("--same-steps", "compare.same_steps", "", "Proof"),
    _option("--proof-rows", "compare.proof_rows", "N", "Proof"),
)
HOLD_OUT = (_option("--hold-out", "compare.hold_out", "P|auto", "Proof"),)
BUDGET = (_option("--budget", "compare.budget", "20m", "Proof"),)
COMPARE_WORKERS = (_option("--workers", "compare.workers", "N", "Proof"),)
MARGIN = (
    _option(
        "--margin", "how_much.margin", "POINTS", "Proof", "of accuracy that may be lost, also by --prune auto"
    ),
)
LOSS_MARGIN = (_option("--loss-margin", "compare.loss_margin", "NATS", "Proof"),)
HOW_MUCH = (
    _option("--margin", "how_much.margin", "POINTS", "Search"),
    _option("--validation", "how_much.validation", "P", "Search"),
    _option("--step", "how_much.step", "P", "Search"),
    _option("--first-seeds", "how_much.first_seeds", "N", "Search"),
    _option("--most-seeds", "how_much.most_seeds", "N", "Search"),
)
SEARCHING = (
    _option("--loss-margin", "compare.loss_margin", "NATS", "Search"),
    _option("--same-steps", "compare.same_steps", "", "Search"),
    _option("--workers", "compare.workers", "N", "Search"),
)
KEEP = tuple(option for option in CHOICE if option.flag in ("--floor", "--protect"))
SWEEP = (
    _option("--scores", "sweep.scores", "NAME[,NAME]", "Sweep"),
    _option("--ends", "sweep.ends", "END[,END]", "Sweep"),
    _option("--fractions", "sweep.fractions", "P[,P]", "Sweep"),
    _option("--seeds", "sweep.seeds", "N", "Sweep", "trainings of each choice of rows"),
    _option("--strategies", "sweep.strategies", "NAME[,NAME]", "Sweep"),
    _option("--same-steps", "sweep.same_steps", "", "Sweep"),
    _option("--models", "sweep.models", "NAME[,NAME]", "Sweep"),
    _option("--workers", "sweep.workers", "N", "Sweep"),
    _option("--engine", "sweep.engine", "NAME", "Sweep"),
    _option("--address", "sweep.address", "HOST:PORT", "Sweep"),
)
NOISE = (
    _option("--kinds", "noise.kinds", "KIND[,KIND]", "Noise", "isotropic, class (likely mistakes), group"),
    _option("--levels", "noise.levels", "P[,P]", "Noise"),
    _option("--fractions", "noise.fractions", "P[,P]", "Noise"),
    _option("--hard-fractions", "noise.hard_fractions", "P[,P]", "Noise"),
    _option("--group", "noise.group", "COL", "Noise"),
    _option("--seeds", "noise.seeds", "N", "Noise", "trainings of each choice of rows"),
    _option("--seed", "noise.seed", "N", "Noise"),
    _option("--workers", "noise.workers", "N", "Noise"),
)
WORKERS = (
    _option(
        "--workers", "train.workers measure.workers compare.workers", "N", "Training", "processes at a time"
    ),
)
TRAIN_WORKERS = (_option("--workers", "train.workers", "N", "Training"),)


def by_preset(*options: Option) -> tuple[Option, ...]:
    """Options of `run`, where the preset gives the defaults of some settings."""
    filled = {"proxy.encoder", "select.prune", "select.by", "select.strategy"}
    return tuple(
        replace(option, default="by --preset") if filled & set(option.places) else option
        for option in options
    )


def given(options: tuple[Option, ...], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the options that were given, by setting (`select.prune`)."""
    found: dict[str, Any] = {}
    for option in options:
        value = parameters.get(option.parameter)
        if value is None or (option.several and not value):
            continue
        if option.metavar == "NAME=X":
            from thresher.selection import parse_options

            value = parse_options(value)
        elif "," in option.metavar:
            value = [name.strip() for text in value for name in text.split(",") if name.strip()]
        found |= dict.fromkeys(option.places, value)
    return found


def flag_of(options: tuple[Option, ...]) -> dict[str, str]:
    return {place: option.flag for option in reversed(options) for place in option.places}
