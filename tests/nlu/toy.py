"""A small annotated data set over the words of the tiny models, which a stack can learn."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from thresher.nlu.rows import Slot, Utterance, as_table
from thresher.nlu.stack.config import StackConfig, stack_config
from tiny import tiny_model

ROOMS, THINGS = ("kitchen", "a"), ("music", "alarm", "weather")


def utterance(
    text: str, domain: str, intent: str, value: str = "", label: str = "", number: int = 0, source: str = ""
) -> Utterance:
    start = text.rindex(value) if value else 0
    slots = (Slot(start, start + len(value), label),) if value else ()
    return Utterance(text, domain, intent, slots, source, f"{domain}-{number}")


def toy_rows(copies: int = 4) -> pl.DataFrame:
    """Domains: home (two intents, a slot), music (one intent, a slot), weather (one intent, no slot)."""
    rows: list[Utterance] = []
    for copy in range(copies):
        source = "synthetic" if copy % 2 else "historical"
        for at, room in enumerate(ROOMS):
            base = 10 * copy + at
            rows.append(
                utterance(f"turn on the light in the {room}", "home", "on", room, "room", base, source)
            )
            rows.append(utterance(f"set the {room}", "home", "set", room, "room", base + 5, source))
        for at, thing in enumerate(THINGS):
            rows.append(
                utterance(f"play some {thing}", "music", "play", thing, "what", 10 * copy + at, source)
            )
        rows.append(utterance("what is the weather", "weather", "query", number=copy, source=source))
    return as_table(rows)


def toy_config(folder: Path, **settings: object) -> StackConfig:
    """A stack on a tiny random BERT, trained long enough to learn the rows."""
    model = folder / "tiny"
    if not model.is_dir():
        tiny_model("bert", model)
    base = {
        "model.name": str(model),
        "model.head_hidden": [16],
        "model.dropout": 0.0,
        "domain.max_steps": 100,
        "domain.batch_size": 8,
        "domain.encoder_lr": 5e-3,
        "domain.head_lr": 1e-2,
        "joint.max_steps": 60,
        "joint.batch_size": 8,
        "joint.encoder_lr": 5e-3,
        "joint.head_lr": 1e-2,
        "domain.bf16": False,
        "joint.bf16": False,
    }
    return stack_config({**base, **settings})
