"""A run folder that was trained in a moment and not measured."""

from __future__ import annotations

import random
from pathlib import Path

import polars as pl

import thresher as th
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
    model = str(tiny_model("bert", folder / "tiny"))
    th.train(
        rows,
        out=folder / "R",
        model=model,
        epochs=1,
        batch_size=-(-n_rows // 4),
        checkpoints=3,
        forgetting_evaluations=1,
        threads=1,
        workers=1,
        chunk_rows=chunk_rows,
    )
    return folder / "R"
