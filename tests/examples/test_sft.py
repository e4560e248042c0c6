"""The example runs unchanged on a tiny model and tiny data, and takes the rows that it kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import tiny_language as make

EXAMPLE = Path(__file__).parents[2] / "examples" / "sft.py"


def test_the_quick_start_of_trl_with_one_line_more(tmp_path):
    pytest.importorskip("trl")
    make.language_model("llama").save_pretrained(tmp_path / "model")
    make.tokenizer().save_pretrained(tmp_path / "model")
    lines = [{"prompt": a, "completion": f" {b}"} for a, b in zip(*make.pairs(12), strict=True)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, str(EXAMPLE), "train.jsonl", "--model", "model", "--out", "RUN"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "token_accuracy" in done.stdout
    assert f"6 rows kept: {tmp_path / 'RUN' / 'kept.parquet'}" in done.stdout
    kept = pl.read_parquet(tmp_path / "RUN" / "kept.parquet")
    assert set(kept["prompt"]) <= {line["prompt"] for line in lines}
    assert (tmp_path / "RUN" / "suspects.csv").is_file()
