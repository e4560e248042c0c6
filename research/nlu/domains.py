"""DCER of more techniques from only the domain classifier: `python -m research.nlu.domains STUDY TECHNIQUE:PRUNE ...`.

The domain is decided before intents and slots, so this is the DCER of the full stack with the same rows and seed, for
a third of the time. The stacks on all rows and on random rows are those of the study. Figures go into
STUDY/domains.json, which `figures.py` reads; finished trainings are reused."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher.nlu.metrics import counts, dcer, relative_interval, sigma
from thresher.nlu.metrics.counts import Parts
from thresher.nlu.rows import labels_of
from thresher.nlu.stack.config import StackConfig
from thresher.nlu.stack.predict import domain_probabilities
from thresher.nlu.stack.train import train_domain
from thresher.nlu.study.techniques import TECHNIQUES, kept_ids
from thresher.run.files import as_json, write


def wrong(study: Path, name: str, prune: float, sample: int) -> list[int]:
    """Whether the domain of every test row is wrong, for one draw and seed; kept in the study folder."""
    file = study / "domains" / f"{name}-{prune:g}-{sample}.json"
    if file.is_file():
        kept: list[int] = json.loads(file.read_text(encoding="utf-8"))
        return kept
    rows, scores, test = (
        pl.read_parquet(study / f"{one}.parquet") for one in ("historical", "scores", "test")
    )
    config = StackConfig(**json.loads((study / "study.json").read_text(encoding="utf-8"))["config"])
    config = config.model_copy(update={"seed": config.seed + sample})
    own = rows.filter(pl.col("id").is_in(kept_ids(scores, name, prune, sample)))
    domains = list(labels_of(own).intents)
    scratch = Path(tempfile.mkdtemp(prefix="thresher-"))
    try:
        model = train_domain(own, domains, config, scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    best = domain_probabilities(*model, test["text"].to_list(), config.model.max_length).argmax(1)
    found = [int(domains[at] != true) for at, true in zip(best, test["domain"], strict=True)]
    write(file, as_json(found))
    return found


def studied(study: Path, name: str, prune: float) -> dict[int, Parts]:
    """DCER by sample of an arm of the study."""
    test, found = pl.read_parquet(study / "test.parquet"), {}
    for file in (study / "cells").glob("*.json"):
        cell = json.loads(file.read_text(encoding="utf-8"))
        if (cell["technique"], cell["prune"], cell["pool"]) == (name, prune, "historical"):
            found[cell["sample"]] = dcer(counts(test, pl.read_parquet(file.with_suffix(".parquet"))))
    return found


def main(study: Path, wanted: list[str], samples: int = 3) -> None:
    """Train what is missing, sample after sample, and write the intervals after each."""
    cells = [(name, float(prune)) for name, _, prune in (one.partition(":") for one in wanted)]
    full = studied(study, "full", 0.0)
    mine: dict[tuple[str, float], list[Parts]] = {cell: [] for cell in cells}
    for sample in range(samples):
        for name, prune in cells:
            errors = np.array(wrong(study, name, prune, sample), dtype=np.float64)
            mine[name, prune].append(Parts(errors, np.ones(len(errors))))
            print(name, prune, sample, f"DCER {100 * errors.mean():.2f}%", flush=True)
    lines: list[dict[str, Any]] = []
    for (name, prune), own in mine.items():
        random = studied(study, "random", prune)
        found = relative_interval(own, [full[at] for at in range(samples)])
        line = {"technique": name, "title": TECHNIQUES[name].title, "prune": prune, "DCER": found}
        if len(random) == samples:
            line["beside random"] = relative_interval(own, [random[at] for at in range(samples)])
        lines.append({**line, "sigma": sigma(found["mean"], prune)})
    write(study / "domains.json", as_json(lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
