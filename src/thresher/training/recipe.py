"""The recipe of a training: its settings, its number of steps and whether it uses bfloat16."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from thresher.config import ModelConfig, TrainConfig
from thresher.run import Training

MANY = 200_000  # rows from which on a head takes fewer passes over them


def recipe(config: TrainConfig, training: Training) -> TrainConfig:
    """The recipe of a training.

    The model on empty input has its own number of epochs. Only scored runs keep intermediate checkpoints; folds keep none.
    """
    if training.kind == "run":
        return config
    last_only = {
        "checkpoints": 1,
        "checkpoint_every": None,
        "forgetting_evaluations": 0,
        "forgetting_every": None,
    }
    diet = {} if training.kind == "full" else {"diet": "none"}
    own: dict[str, dict[str, Any]] = {"null": {"epochs": config.null_epochs}, "fold": {"checkpoints": 0}}
    return config.model_copy(update={**last_only, **diet, **own.get(training.kind, {})})


def with_defaults(model: ModelConfig, train: TrainConfig, n_rows: int) -> TrainConfig:
    """The recipe with the defaults of a head for the settings that were not given, where the encoder is frozen.

        epochs = 6,  head_lr = 5e-3,  batch_size = the largest power of two <= N / 24, from 8 to 256        for N rows

    A head on fixed vectors trains in seconds. The study measured this recipe on 7,000 to 15,000 rows (`research/study/study.md`);
    on fewer rows smaller batches keep the number of steps.

    More than `MANY` rows take no more steps than `MANY`, but each row is visited once at least, and fewer passes over all rows:

        epochs = max(1, 6 MANY / N),  null_epochs = epochs / 3,  folds = 2,  checkpoints = 5,  forgetting_evaluations = 5

    >>> with_defaults(ModelConfig(freeze=True), TrainConfig(epochs=2), 2000).batch_size
    64
    >>> with_defaults(ModelConfig(freeze=True), TrainConfig(), 1_000_000).epochs
    1.2
    >>> with_defaults(ModelConfig(), TrainConfig(), 2000) == TrainConfig()
    True
    """
    if not model.freeze:
        return train
    batch = 2 ** int(math.log2(max(8, min(256, n_rows / 24))))
    head: dict[str, object] = {"epochs": 6.0, "batch_size": batch, "head_lr": 5e-3}
    if n_rows > MANY:
        epochs = max(1.0, 6.0 * MANY / n_rows)
        head |= {"epochs": epochs, "null_epochs": epochs / 3}
        head |= {"folds": 2, "checkpoints": 5, "forgetting_evaluations": 5}
    return train.model_copy(
        update={name: value for name, value in head.items() if name not in train.model_fields_set}
    )


def steps_of(config: TrainConfig, n_rows: int) -> int:
    """The number of optimiser steps of a training on `n_rows` rows."""
    return config.max_steps or math.ceil(config.epochs * math.ceil(n_rows / config.batch_size))


def settled_encoder(model: ModelConfig) -> ModelConfig:
    """The model of a proxy, whose features only order rows, with the precision of its encoder resolved for this machine.

    >>> settled_encoder(ModelConfig(encode="float32")).encode
    'float32'
    """
    if model.encode != "auto":
        return model
    fast = trains_in_bf16(TrainConfig(bf16="auto"))
    return model.model_copy(update={"encode": "bfloat16" if fast else "float32"})


def trains_in_bf16(config: TrainConfig) -> bool:
    """Whether training uses bfloat16 for matrix products; weights, optimiser and measurements stay in float32."""
    if config.bf16 != "auto":
        return config.bf16
    # Imported here: the number of steps need not wait for torch.
    import torch

    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bf16_pays(torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {})


def settled(config: TrainConfig, begun: TrainConfig | None = None) -> TrainConfig:
    """The recipe with `auto` resolved for this machine, or as resolved when the run was `begun`.

    A run that is resumed on another machine then trains in the same precision.

    >>> settled(TrainConfig(bf16="auto")).bf16 in (True, False)
    True
    """
    return config.model_copy(update={"bf16": begun.bf16 if begun else trains_in_bf16(config)})


def bf16_pays(processor: Mapping[str, object]) -> bool:
    """Whether matrix products are faster in bfloat16 than in float32; `processor` is `torch.cpu.get_capabilities()`.

    They are with AMX tiles, and with AVX-512 bfloat16 on AMD. On an Intel Xeon without AMX, training took 1.5 times as long
    as in float32.

    >>> bf16_pays({"amx_bf16": False, "avx512_bf16": True, "cpu_name": "Intel Xeon"})
    False
    """
    avx512 = processor.get("avx512_bf16") and "intel" not in str(processor.get("cpu_name")).lower()
    return bool(processor.get("amx_bf16") or avx512)
