"""Planted label noise with the frozen encoder: `python -m research.study.noise ROWS OUT [--sets ...] [--levels ...]`.

At every level labels are changed, a run is trained, measured and scored on the noisy rows, and every score returns as
many rows as are mislabelled. `--kind isotropic` redraws labels over all classes, `class` from classes that the model
confuses, `group` in half of the groups (of the labels themselves if rows have no groups). `--prune` also trains after
the paper's removals. For comparison cleanlab (`pip install cleanlab`; used only here) gets out-of-sample
probabilities of the same heads, five folds, same rows and recipe."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from research.study.data import COLUMNS
from research.study.detect import average_precision, confident_learning, detection_table, precision_at
from research.study.run import config_of, recorded, results, score_columns, scored
from thresher.config import NoiseConfig
from thresher.experiments.arms import Arm, scores_of
from thresher.experiments.noise import hits, noise_figures
from thresher.experiments.planted_noise import plant, with_labels
from thresher.experiments.similarity import chance_similarity, end_rows, similarity
from thresher.experiments.sweep import sweep_arms
from thresher.pipeline.nested import nested_run
from thresher.rows import read_rows
from thresher.run import Run
from thresher.scores import column
from thresher.training.feature_files import read_features
from thresher.training.head import fit_heads, head_logits

FOLDS = 5


def out_of_sample(run: Run, labels: np.ndarray, k: int, config: Any) -> np.ndarray:
    """The probabilities (N, K) that heads trained on the other four folds give to the rows of the fifth."""
    features = read_features(run.features_folder())
    n = len(labels)
    fold = np.random.default_rng(0).permutation(n) * FOLDS // n
    size = min(int((fold != one).sum()) for one in range(FOLDS))
    choices = [np.flatnonzero(fold != one)[:size] for one in range(FOLDS)]
    states, _ = fit_heads(
        features, [labels] * FOLDS, choices, list(range(FOLDS)), k, config.model, config.train
    )
    found = np.empty((n, k))
    for one, state in enumerate(states):
        rows = np.flatnonzero(fold == one)
        found[rows] = softmax(head_logits(state, features.take(rows)).astype(np.float64), axis=1)
    return found


def cleanlab_lines(labels: np.ndarray, probabilities: np.ndarray, wrong: np.ndarray) -> dict[str, Any]:
    """cleanlab's two rankings, and the rows it flags by itself."""
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores

    count, found = int(wrong.sum()), {}
    for method in ("self_confidence", "normalized_margin"):
        suspicion = -get_label_quality_scores(labels, probabilities, method=method)
        found[method] = {
            "precision": precision_at(suspicion, wrong, count),
            "average_precision": average_precision(suspicion, wrong),
        }
    flagged = find_label_issues(labels, probabilities, n_jobs=1)
    return found | {"flagged": {**hits(flagged, wrong), "rows": int(flagged.sum())}}


def pruned(run: Run, wrong: np.ndarray) -> dict[str, Any]:
    """Accuracy after the paper's removals from noisy rows (VoG's easy end, the hard ends of TracIn and PVI, random rows), and
    after as many rows of AUM's hard end as are wrong."""
    keep = ("score", "end", "fraction", "n", "steps", "seeds", "accuracy", "to_full", "to_random")
    found = noise_figures(run, wrong, NoiseConfig(workers=1))
    suspects = Arm(*column("aum", "auto", score_columns(run)), "hard", "cutoff")
    cleaned = sweep_arms(run, [suspects], [float(wrong.mean())], 3, workers=1)
    lines = [*found["table"], *cleaned["table"]]
    return {"full": found["full"], "table": [{key: line[key] for key in keep} for line in lines]}


def level_figures(
    run: Run, folder: Path, kind: str, level: float, config: Any, prune: bool
) -> dict[str, Any]:
    """What every score and cleanlab find at one level."""
    rows, test = read_rows(run.rows_file), read_rows(run.test_file)
    several = [name for name in rows.groups if rows.table[name].n_unique() > 1]
    noisy = plant(run, rows, kind, level, NoiseConfig(group=next(iter(several), rows.label)))
    labels, wrong = with_labels(rows, noisy.labels), noisy.changed
    inner = nested_run(folder, labels, test, config)
    ids = rows.table["id"]
    table = scores_of(inner, ids)
    probabilities = out_of_sample(inner, noisy.labels, len(rows.classes), config)
    ours = confident_learning(noisy.labels, probabilities)
    raw = [name for name in table.columns if not name.endswith(("_class", "_dataset"))] + ["vog_class"]
    detected = detection_table(table.select(name for name in raw if name in table.columns), wrong)
    lines = [
        {name: round(value, 4) if isinstance(value, float) else value for name, value in line.items()}
        for line in detected.sort("average_precision", descending=True)
        .unique("score", maintain_order=True)
        .to_dicts()
    ]
    count = int(wrong.sum())
    figures: dict[str, Any] = {
        "level": level,
        "wrong": count,
        "share": round(float(wrong.mean()), 4),
        "scores": lines,
        "cleanlab": cleanlab_lines(noisy.labels, probabilities, wrong),
        "confident_learning": {
            **hits(ours.flagged, wrong),
            "average_precision": average_precision(ours.suspicion, wrong),
        },
        "chance_similarity": chance_similarity(len(wrong), count),
    }
    if "vog" in table.columns:
        figures["vog_similarity"] = similarity(end_rows(table, "vog", "hard", count / len(wrong)), wrong)
    if "pvi" in table.columns:
        negative = table["pvi"].to_numpy() < 0
        figures["negative_pvi"] = {**hits(negative, wrong), "share": float(negative.mean())}
    if prune:
        figures["pruning"] = pruned(inner, wrong)
    return figures


def earlier(name: str, stage: str) -> dict[float, dict[str, Any]]:
    """What is recorded already, by level."""
    return {one["level"]: one for one in results().get("test", {}).get(name, {}).get(stage, [])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rows", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", nargs="+", default=list(COLUMNS), choices=list(COLUMNS))
    parser.add_argument("--levels", nargs="+", type=float, default=[0.05, 0.1, 0.15, 0.2, 0.25, 0.3])
    parser.add_argument("--kind", default="isotropic", choices=["isotropic", "class", "group"])
    parser.add_argument("--prune", action="store_true", help="also prune and train")
    asked = parser.parse_args()
    stage = "noise" if asked.kind == "isotropic" else f"noise-{asked.kind}"
    for name in asked.sets:
        config = config_of(asked.rows, name, "test")
        run = scored(asked.rows, asked.out, name, "test")
        for level in asked.levels:
            folder = asked.out / f"{name}-{stage}-{level:g}"
            found = level_figures(run, folder, asked.kind, level, config, asked.prune)
            known = earlier(name, stage)
            known[level] = known.get(level, {}) | found
            recorded("test", name, stage, [known[one] for one in sorted(known)])
            print(name, stage, level, flush=True)


if __name__ == "__main__":
    main()
