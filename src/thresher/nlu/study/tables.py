"""The result tables of a study: the paper's table 2 and tables 5 to 10, with intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from thresher.nlu.entropy import domain_entropy
from thresher.nlu.metrics import ERRORS, counts, relative_interval, sigma, slot_f1
from thresher.nlu.metrics.counts import Parts
from thresher.nlu.pruning.choose import removed_by
from thresher.nlu.study.cells import Cell
from thresher.nlu.study.facts import CellFacts, DomainFacts, Intervals, Rates, StudyResults, Technique
from thresher.nlu.study.techniques import TECHNIQUES
from thresher.run import parquet

SCORES = ("vog", "vog_class", "vog_dataset", "trail_entropy")


def study_tables(
    study: Path, cells: Sequence[Cell], facts: Mapping[str, CellFacts], tests: Sequence[str]
) -> StudyResults:
    """All results of a study, of the cells whose `facts` are by name and of the test sets with these names."""
    test = parquet.read(study / "test.parquet")
    rows, scores = (parquet.read(study / f"{name}.parquet") for name in ("historical", "scores"))
    pools = {name: parquet.read(study / f"{name}.parquet") for name in {cell.pool for cell in cells}}
    counted = {
        cell.name: counts(test, parquet.read(study / "cells" / f"{facts[cell.name]['key']}.parquet"))
        for cell in cells
    }
    arms: dict[tuple[str, str, float], list[Cell]] = {}
    for cell in cells:
        arms.setdefault((cell.pool, cell.technique, cell.prune), []).append(cell)
    masks = {name: test["id"].str.starts_with(f"{name}:").to_numpy() for name in tests}
    found: StudyResults = {
        "samples": max(map(len, arms.values())),
        "n_train": rows.height,
        "tests": {name: int(mask.sum()) for name, mask in masks.items()},
        "full": {},
        "techniques": [],
        "scores": _score_table(scores),
        "entropy": domain_entropy(rows).to_dicts(),
        "seconds": round(sum(one["seconds"] for one in facts.values()), 1),
    }
    for (pool, name, prune), own in arms.items():
        full = [counted[cell.name] for cell in arms[pool, "full", 0.0]]
        mine = [counted[cell.name] for cell in own]
        if name == "full":
            found["full"][pool] = {
                "n_train": facts[own[0].name]["n_train"],
                "metrics": _rates(mine),
                "tests": {test_name: _rates(_masked(mine, mask)) for test_name, mask in masks.items()},
                "domains": {
                    domain: _rates([one.filter(domain=domain) for one in mine])
                    for domain in test["domain"].unique().sort()
                },
            }
            continue
        random = [counted[cell.name] for cell in arms.get((pool, "random", prune), [])]
        n_train = facts[own[0].name]["n_train"]
        removed = 1 - n_train / pools[pool].height
        metrics = _intervals(mine, full)
        entry: Technique = {
            "technique": name,
            "title": TECHNIQUES[name].title,
            "prune": prune,
            "pool": pool,
            "n_train": n_train,
            "removed": removed,
            "metrics": metrics,
            "beside random": _intervals(mine, random) if random and name != "random" else {},
            "tests": {
                test_name: _intervals(_masked(mine, mask), _masked(full, mask))
                for test_name, mask in masks.items()
            },
            "domains": _domains(pools[pool], own, mine, full),
            "sources": _sources(pools[pool], own),
            "sigma": {metric: sigma(value["mean"], removed) for metric, value in metrics.items()},
        }
        found["techniques"].append(entry)
    return found


def _masked(tables: Sequence[pl.DataFrame], mask: np.ndarray) -> list[pl.DataFrame]:
    return [table.filter(pl.Series(mask)) for table in tables]


def _rates(tables: Sequence[pl.DataFrame]) -> Rates:
    """Mean, standard deviation and values over the samples of every metric."""
    metrics: dict[str, Callable[[pl.DataFrame], Parts]] = {**ERRORS, "slot F1": slot_f1}
    found: Rates = {}
    for name, metric in metrics.items():
        values = [metric(table).value for table in tables]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
        found[name] = {"mean": float(np.mean(values)), "std": spread, "values": values}
    return found


def _intervals(pruned: Sequence[pl.DataFrame], full: Sequence[pl.DataFrame]) -> Intervals:
    """The relative error of every metric with its interval; samples are paired."""
    pairs = min(len(pruned), len(full))
    return {
        name: relative_interval(
            [metric(one) for one in pruned[:pairs]], [metric(one) for one in full[:pairs]]
        )
        for name, metric in ERRORS.items()
    }


def _domains(
    pool: pl.DataFrame, cells: Sequence[Cell], mine: Sequence[pl.DataFrame], full: Sequence[pl.DataFrame]
) -> dict[str, DomainFacts]:
    """Per domain: rows, the share removed (mean over the samples), test rows, and every relative error."""
    shares = pl.concat([_removed(pool, cell, "domain") for cell in cells])
    means = dict(shares.group_by("value").agg(pl.col("removed").mean()).iter_rows())
    trained = dict(pool["domain"].value_counts().iter_rows())
    found: dict[str, DomainFacts] = {}
    for domain in sorted(trained):
        own, all_rows = ([one.filter(domain=domain) for one in side] for side in (mine, full))
        found[domain] = {"n_train": trained[domain], "removed": means[domain], "n_test": own[0].height}
        if own[0].height:
            found[domain]["metrics"] = _intervals(own, all_rows)
    return found


def _removed(pool: pl.DataFrame, cell: Cell, column: str) -> pl.DataFrame:
    kept = pool.select("id", kept=pl.col("id").is_in(list(cell.ids)))
    return removed_by(pool, kept, column)


def _sources(pool: pl.DataFrame, cells: Sequence[Cell]) -> list[dict[str, object]]:
    """Rows per source before and after, of the first sample."""
    table = _removed(pool, cells[0], "source")
    return table.with_columns(value=pl.col("value").replace("", "historical")).to_dicts()


def _score_table(scores: pl.DataFrame) -> list[dict[str, object]]:
    """Rows, and the median, mean and standard deviation of every score, per domain."""
    columns = [name for name in SCORES if name in scores.columns]
    aggregates = [
        getattr(pl.col(name), kind)().alias(f"{name} {kind}")
        for name in columns
        for kind in ("median", "mean", "std")
    ]
    return scores.group_by("domain").agg(pl.len().alias("rows"), *aggregates).sort("domain").to_dicts()
