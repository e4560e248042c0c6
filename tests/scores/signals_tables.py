"""Random signals tables as a measuring pass would write them, and hypothesis strategies of them."""

from __future__ import annotations

import numpy as np
import polars as pl
from hypothesis import strategies as st


def random_run(
    seed: int, rows: int = 12, checkpoints: int = 10, classes: int = 3, evaluations: int = 7, hidden: int = 4
) -> tuple[pl.DataFrame, pl.DataFrame, list[np.ndarray]]:
    """Signals and checkpoints of one run, and the gradients (C, tokens, hidden) of each row behind them."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(2, 9, rows)
    gradients = [rng.normal(size=(checkpoints, count, hidden)) * rng.uniform(0.1, 5) for count in tokens]
    flat = [g.reshape(checkpoints, -1) for g in gradients]
    half = checkpoints // 2
    std = [[f[part].std(0).sum() for part in (slice(None), slice(half), slice(half, None))] for f in flat]
    signals = pl.DataFrame(
        {
            "id": [f"row-{i}" for i in range(rows)],
            "label": rng.integers(0, classes, rows).astype(np.int32),
            "n_tokens": tokens.astype(np.int32),
            "truncated": [False] * rows,
            "logits": rng.normal(size=(rows, checkpoints, classes)).astype(np.float32) * 5,
            "null_logits": np.tile(rng.normal(size=classes).astype(np.float32), (rows, 1)),
            "held_out_logits": rng.normal(size=(rows, classes)).astype(np.float32) * 5,
            "correct": (rng.random((rows, evaluations)) < rng.random((rows, 1)) ** 2).tolist(),
            "gradient_gram": np.array([f @ f.T for f in flat]),
            "gradient_std": np.array(std),
            "encoder_sq_norm": rng.exponential(size=(rows, checkpoints)),
            "classifier_sq_norm": rng.exponential(size=(rows, checkpoints)),
            "features": rng.normal(size=(rows, 6)).astype(np.float32),
            "word_margin": rng.uniform(0.01, 1, rows),  # words that tell every label
            "entropy": rng.exponential(size=(rows, checkpoints)).astype(np.float32),
            "accuracy": rng.random((rows, checkpoints)).astype(np.float32),
            "loss_prompted": rng.exponential(size=rows).astype(np.float32),
            "end_loss": rng.exponential(size=rows).astype(np.float32),
            "loss_alone": rng.exponential(size=rows).astype(np.float32),
            "n_completion": rng.integers(1, 9, rows).astype(np.int32),
            "gradient_sq_mean": 1 + rng.exponential(size=rows),
            "gradient_mean_sq": rng.random(rows),
        },
        schema_overrides={"correct": pl.List(pl.Boolean)},
    )
    trained = pl.DataFrame(
        {
            "index": np.arange(checkpoints, dtype=np.int32),
            "step": np.arange(1, checkpoints + 1) * 50,
            "epoch": np.linspace(0.3, 3.0, checkpoints),
            "encoder_lr": np.linspace(1e-4, 0, checkpoints),
            "head_lr": np.linspace(1e-3, 0, checkpoints),
            "hidden": np.full(checkpoints, hidden),
        }
    )
    return signals, trained, gradients


runs = st.builds(
    random_run,
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 15),
    checkpoints=st.integers(4, 11),
    classes=st.integers(2, 5),
    evaluations=st.integers(2, 9),
)
