"""A tiny trained run folder without measurements."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl

import thresher as th
from thresher.config import DataConfig, MeasureConfig, RunConfig
from tiny import WORDS, tiny_model


def train_tiny(folder: Path, n_rows: int, chunk_rows: int) -> Path:
    """Train a tiny model on random words; returns the run folder."""
    draw = random.Random(1)
    frame = pl.DataFrame(
        {
            "text": [" ".join(draw.choices(WORDS, k=draw.randint(2, 12))) for _ in range(n_rows)],
            "label": [draw.choice(["a", "b", "c"]) for _ in range(n_rows)],
        }
    )
    rows = th.load(frame, text="text", label="label")
    config = RunConfig(
        data=DataConfig(train="rows", text=("text",), label="label"),
        measure=MeasureConfig(chunk_rows=chunk_rows),
    )
    model = str(tiny_model("bert", folder / "tiny"))
    run = th.train(
        rows,
        out=folder / "R",
        config=config,
        model=model,
        epochs=1,
        batch_size=-(-n_rows // 4),
        checkpoints=3,
        forgetting_evaluations=1,
        threads=1,
        workers=1,
    )
    return run.folder
