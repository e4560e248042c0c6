"""What a user would put together in place of the cheap decision: sentence-transformers, scikit-learn and cleanlab.

    python -m research.benchmarks.by_hand OUT --rows 250000

Run it in an environment that has cleanlab beside the development packages, on the folder OUT of `million` with the same rows. The
encoder is the same, with all six layers; `cross_val_predict` cross-validates a logistic regression in 5 folds; cleanlab's label
quality by normalised margin ranks the rows. Recorded are seconds, CPU seconds, peak memory, and the precision at the number of
planted labels, as `million` records them of thresher on the same rows."""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

import numpy as np
import polars as pl

from research.benchmarks.million import make_rows
from research.benchmarks.record import machine, record
from thresher.models.encoder import resolve


def main() -> None:
    """Encode, predict, rank; record what it took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=250_000)
    given = parser.parse_args()
    source, planted = given.out / "train.jsonl", given.out / "planted.json"
    if not planted.is_file():
        given.out.mkdir(parents=True, exist_ok=True)
        planted.write_text(json.dumps(sorted(make_rows(source, given.rows))))
    seconds, cpu = time.monotonic(), time.process_time()
    taken: dict[str, float] = {}

    def lap(name: str) -> None:
        nonlocal seconds, cpu
        taken[name] = round(time.monotonic() - seconds, 1)
        taken[f"{name}, CPU"] = round(time.process_time() - cpu, 1)
        seconds, cpu = time.monotonic(), time.process_time()

    from cleanlab.rank import get_label_quality_scores
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict

    rows = pl.read_ndjson(source)
    names, labels = np.unique(rows["intent"].to_numpy(), return_inverse=True)
    lap("read")
    parts = [modules.Transformer(resolve("minilm")), modules.Pooling(384, "mean")]
    encoder = SentenceTransformer(modules=parts, device="cpu")
    vectors = encoder.encode(rows["text"].to_list(), batch_size=64, show_progress_bar=False)
    lap("encode")
    heads = LogisticRegression(max_iter=1000)
    probabilities = cross_val_predict(heads, vectors, labels, cv=5, method="predict_proba")
    lap("cross_val_predict")
    quality = get_label_quality_scores(labels, probabilities, method="normalized_margin")
    lap("rank")
    wrong = set(json.loads(planted.read_text()))
    worst = set(rows["id"].gather(np.argsort(quality, kind="stable")[: len(wrong)]))
    figures = {
        "seconds": taken,
        "all": round(sum(value for name, value in taken.items() if not name.endswith("CPU")), 1),
        "all, CPU": round(sum(value for name, value in taken.items() if name.endswith("CPU")), 1),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "classes": len(names),
        "precision": round(len(worst & wrong) / len(wrong), 4),
        "machine": machine(),
    }
    record("by_hand", f"{given.rows:,} rows", figures)
    print(json.dumps(figures, indent=1), flush=True)


if __name__ == "__main__":
    main()
