"""The pass over a frozen encoder in float32 and in bfloat16, beside sentence-transformers: speed, scores and pruned accuracy.

    python -m research.benchmarks.encoding OUT

Speed: processor seconds of one thread for 3,000 texts of CLINC150 with six layers, each way in turns, three times. Scores: on
each data set heads on the features of either precision are cross-validated; the rank correlation of their held-out margins,
the share of the rows that both keep of 55% by the recommended rule, and the accuracy of heads on the kept rows (same steps,
three seeds). bfloat16 pays on processors with AMX, or with AVX-512 bfloat16 from AMD."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import polars as pl
import torch

import thresher as th
from research.benchmarks.record import machine, missing, record
from research.places import DATA
from thresher.config import ModelConfig
from thresher.models.encode import LoadedEncoder, encode

SETS: dict[str, dict[str, Any]] = {
    "hwu64": {"text": "utterance", "label": "domain"},
    "clinc150": {"text": "text", "label": "intent"},
    "snli": {"text": ["premise", "hypothesis"], "label": "label"},
}
PRECISIONS = ("float32", "bfloat16")
TEXTS, TURNS, KEPT = 3000, 3, 0.55


def speeds() -> dict[str, float]:
    """Rows per second of processor time, the median of the turns."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    from thresher.models.encoder import resolve

    torch.set_num_threads(1)
    lines = (DATA / "clinc150" / "train.jsonl").read_text(encoding="utf-8").splitlines()[:TEXTS]
    texts = [json.loads(line)["text"] for line in lines]
    folder = resolve("minilm")
    parts = [modules.Transformer(folder), modules.Pooling(384, "mean")]
    peer = SentenceTransformer(modules=parts, device="cpu")
    ours = {name: LoadedEncoder(ModelConfig(layers=6, encode=name)) for name in PRECISIONS}
    ways = {name: lambda one=one: encode(one, texts) for name, one in ours.items()}
    ways["sentence-transformers"] = lambda: peer.encode(texts, batch_size=64, show_progress_bar=False)
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            started = time.process_time()
            way()
            taken[name].append(time.process_time() - started)
    return {name: round(TEXTS / statistics.median(one), 1) for name, one in taken.items()}


def scored(name: str, precision: str, out: Path) -> tuple[pl.DataFrame, set[str], dict[str, Any]]:
    """The held-out margins of a data set, the ids of the kept rows, and their accuracy beside all rows and random ones."""
    columns, folder = SETS[name], DATA / name
    rows = th.load(folder / "train.jsonl", **columns)
    run = th.train(
        rows,
        out=out / f"{name}-{precision}",
        test=folder / "test.jsonl",
        freeze=True,
        encode=precision,
        threads=1,
    )
    th.measure(run)
    scores = th.score(run).select("id", "held_out_margin")
    kept = set(th.select(run, prune=1 - KEPT, strategy="recommended").filter("kept")["id"])
    proof = th.compare(run, seeds=3, same_steps=True)
    return scores, kept, {arm: proof.arms[arm]["accuracy"] for arm in proof.arms}


def main() -> None:
    """Measure what has no figure yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--again", action="store_true", help="repeat what is in bench.json")
    given = parser.parse_args()
    if missing("encoding", "rows per second", given.again):
        found = speeds()
        record("encoding", "rows per second", {**found, "machine": machine()})
        print(found, flush=True)
    for name in SETS:
        if missing("encoding", name, given.again):
            (first, kept, accuracy), (second, also, other) = (
                scored(name, precision, given.out) for precision in PRECISIONS
            )
            both = first.join(second, on="id")
            correlation = both.select(
                pl.corr("held_out_margin", "held_out_margin_right", method="spearman")
            ).item()
            figures = {
                "rank correlation": round(correlation, 4),
                "kept by both": round(len(kept & also) / len(kept), 4),
                "accuracy": dict(zip(PRECISIONS, (accuracy, other), strict=True)),
            }
            record("encoding", name, figures)
            print(name, figures, flush=True)


if __name__ == "__main__":
    main()
