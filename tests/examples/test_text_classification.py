"""The example runs unchanged on a tiny model and tiny data."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from transformers import BertConfig, BertForSequenceClassification

from tiny import SMALL, VOCABULARY, WORDS, tokenizer_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "text_classification.py"


def test_the_recipe_of_transformers_with_one_line_more(tmp_path):
    torch.manual_seed(0)
    BertForSequenceClassification(BertConfig(vocab_size=len(VOCABULARY) + 8, **SMALL)).save_pretrained(
        tmp_path / "model"
    )
    tokenizer_of("bert").save_pretrained(tmp_path / "model")
    random = np.random.default_rng(0)
    lines = [
        "text,label",
        *(f"{' '.join(random.choice(WORDS, 5))},{['off', 'on'][i % 2]}" for i in range(40)),
    ]
    (tmp_path / "train.csv").write_text("\n".join(lines) + "\n")
    command = [sys.executable, str(EXAMPLE), "train.csv", "--model", "model", "--out", "RUN"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "vog_online" in done.stdout
    assert "num_rows: 20" in done.stdout
    assert (tmp_path / "RUN" / "kept.parquet").is_file()
