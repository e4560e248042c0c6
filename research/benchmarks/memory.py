"""Peak memory of `thresher measure` for 2,000 and for 100,000 rows: `python -m research.benchmarks.memory`.

The encoder is tiny (2 layers of width 32, random), so that rows and not weights dominate memory: a stricter test than
a real encoder. The texts are SNLI's, repeated under new ids. The figure is the largest sum of the resident set sizes
of the process and its workers, sampled every 50 ms."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from research.benchmarks.record import machine, missing, record
from research.places import DATA

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]


def tiny_model(folder: Path, texts: list[str]) -> None:
    """Save a random encoder with a word-level tokenizer of the texts' words."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(texts, trainers.WordLevelTrainer(special_tokens=SPECIAL))
    marks = [(mark, tokenizer.token_to_id(mark)) for mark in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=128,
    )
    BertModel(config).save_pretrained(folder)


def thresher(*arguments: str) -> subprocess.Popen[bytes]:
    """The command line, as a process."""
    return subprocess.Popen(
        [sys.executable, "-m", "thresher", *arguments, "--quiet"], stdout=subprocess.DEVNULL
    )


def finished(process: subprocess.Popen[bytes]) -> None:
    """Wait for a process, and stop if it failed."""
    if process.wait():
        raise SystemExit(f"{process.args} failed")


def peak(process: subprocess.Popen[bytes]) -> int:
    """Largest resident size of a process and its children together, in bytes, until it ends."""
    most = 0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            sizes = [one.memory_info().rss for one in (watched, *watched.children(recursive=True))]
            most = max(most, sum(sizes))
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.05)
    finished(process)
    return most


def measured(rows: int, folder: Path, workers: int) -> dict[str, float]:
    """Train for ten steps on that many rows, then measure them."""
    lines = (DATA / "snli" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    source = [json.loads(line) for line in lines]
    if not (folder / "model").exists():
        tiny_model(folder / "model", [f"{row['premise']} {row['hypothesis']}" for row in source])
    file, run = folder / f"rows-{rows}.jsonl", folder / f"run-{rows}"
    with file.open("w", encoding="utf-8") as out:
        for i in range(rows):
            out.write(json.dumps({**source[i % len(source)], "id": f"row-{i}"}) + "\n")
    settings = (
        "train.max_steps=10",
        "train.forgetting_evaluations=0",
        "train.null_epochs=0.001",
        "train.bf16=false",
    )
    columns = ("--text", "premise,hypothesis", "--label", "label", "--id", "id")
    given = [word for setting in settings for word in ("--set", setting)]
    model = ("--model", str(folder / "model"), "--max-length", "64")
    finished(thresher("train", str(file), *columns, *model, *given, "--out", str(run)))
    started = time.monotonic()
    most = peak(thresher("measure", str(run), "--workers", str(workers)))
    return {"rows": rows, "peak_bytes": most, "seconds": time.monotonic() - started}


def main() -> None:
    """Measure what has no figure yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[2_000, 100_000])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--again", action="store_true", help="repeat what is in bench.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        for rows in given.rows:
            if missing("memory", f"{rows} rows", given.again):
                found = measured(rows, Path(folder), given.workers)
                record("memory", f"{rows} rows", {**found, "workers": given.workers, "machine": machine()})
                print(f"{rows:,} rows: {found['peak_bytes'] / 2**20:,.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
