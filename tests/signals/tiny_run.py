"""A run folder that was trained in a moment and not measured."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl

import thresher as th
from thresher.config import MeasureConfig, RunConfig
from thresher.pipeline.start import data_config
from thresher.run import Run
from tiny import WORDS, tiny_model


def train_tiny(folder: Path, n_rows: int, chunk_rows: int) -> Run:
    """Train a tiny model on random words; it is to be measured in chunks of `chunk_rows`."""
    draw = random.Random(1)
    frame = pl.DataFrame(
        {
            "text": [" ".join(draw.choices(WORDS, k=draw.randint(2, 12))) for _ in range(n_rows)],
            "label": [draw.choice(["a", "b", "c"]) for _ in range(n_rows)],
        }
    )
    rows = th.load(frame, text="text", label="label")
    model = str(tiny_model("bert", folder / "tiny"))
    config = RunConfig(data=data_config(rows, None), measure=MeasureConfig(chunk_rows=chunk_rows))
    return th.train(
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
