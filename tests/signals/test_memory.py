"""Measuring streams the rows: its memory does not grow with their number."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from transformers import BertConfig, BertModel

import thresher as th
from thresher.run import Run
from tiny import VOCABULARY, WORDS, tokenizer_of

HIDDEN, TOKENS, CHECKPOINTS = 128, 62, 10
FEW, MANY = 96, 1536
# A process of its own, since a peak never falls: that of itself and that of its largest worker, in KiB.
MEASURE = """
import resource, sys
import thresher as th
th.measure(sys.argv[1], workers=1, chunk_rows=64, batch_tokens=4096)
from loky import get_reusable_executor
get_reusable_executor().shutdown(wait=True)
print(sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))
"""


def trained(folder: Path, n_rows: int) -> Run:
    """A run whose gradients, were they kept, would take 320 kB a row."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=TOKENS - 2)) for _ in range(n_rows)]
    labels = [draw.choice("ab") for _ in texts]
    config = BertConfig(
        vocab_size=len(VOCABULARY) + 8,
        hidden_size=HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder / "model")
    tokenizer_of("bert").save_pretrained(folder / "model")
    return th.train(
        th.load(pl.DataFrame({"text": texts, "label": labels}), text="text", label="label"),
        out=folder / "R",
        model=str(folder / "model"),
        max_steps=CHECKPOINTS,
        batch_size=8,
        checkpoints=CHECKPOINTS,
        forgetting_evaluations=0,
        null_epochs=0.01,
        threads=1,
        workers=1,
        seed=0,
    )


@pytest.mark.slow
def test_sixteen_times_the_rows_take_no_more_memory(tmp_path: Path) -> None:
    """At most 1.15 times; the gradients of the rows alone would break that."""
    peaks = {}
    for n_rows in (FEW, MANY):
        (tmp_path / str(n_rows)).mkdir()
        run = trained(tmp_path / str(n_rows), n_rows)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(run)], capture_output=True, text=True, check=True
        )
        peaks[n_rows] = 1024 * int(done.stdout.split()[-1])
    assert 0.15 * peaks[FEW] < 0.8 * MANY * CHECKPOINTS * TOKENS * HIDDEN * 4
    assert peaks[MANY] <= 1.15 * peaks[FEW], peaks
