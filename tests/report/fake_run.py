"""A run folder as the other steps write it, filled with plausible figures and hostile texts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher.config import CompareConfig, DataConfig, MeasureConfig, RunConfig, ScoreConfig, SelectConfig
from thresher.experiments.compare import compare
from thresher.pipeline.measure import measure_signals
from thresher.pipeline.score import compute_scores
from thresher.pipeline.select import select
from thresher.pipeline.train import Trainings, train_models
from thresher.run import Run
from thresher.run.integrity import write_json, write_table
from thresher.run.manifest import Manifest, write_manifest

HOSTILE = [
    "<script>window.hacked = 1; alert(1)</script>",
    "</script><script>window.hacked = 2</script>",
    "<!-- <script>",
    '"><img src=x onerror="window.hacked = 3">',
    "{{7*7}} {% for x in y %} ${7*7}",
    "שלום <b>עולם</b>, כבה את האור \u202e bidi",
    "مرحبا بالعالم 🎧",
    "turn on the 💡 in the 👨‍👩‍👧‍👦 room\u2028next line\u2029paragraph",
    "nul \x00 escape \x1b[31m bell \x07",
    "long " + "tale of a row that never ends, " * 340,
    "&lt;i&gt;already escaped&lt;/i&gt; &amp; 'quoted' \"twice\"",
    "javascript:window.hacked=4 <a href=https://example.org/steal>click</a>",
]
VERBS = ("turn on", "switch off", "dim", "play", "pause", "set", "open", "close", "ask about", "remind me of")
THINGS = (
    "the kitchen lights",
    "the radio",
    "the garage door",
    "an alarm for seven",
    "the weather in Oslo",
    "my shopping list",
)
SCORES: dict[str, tuple[str, str]] = {
    "el2n": ("high", "raw"),
    "forgetting": ("high", "raw"),
    "pvi": ("low", "raw"),
    "tracin": ("high", "raw"),
    "vog": ("high", "class"),
}
STEPS = ("train", "score", "select", "compare")


def fake_run(
    folder: Path,
    *,
    n: int = 900,
    classes: int = 3,
    upto: str = "compare",
    pair: bool = False,
    test: bool = True,
    seed: int = 0,
) -> Run:
    """Write a run folder whose steps are finished up to one of train, score, select, compare."""
    rng = np.random.default_rng(seed)
    names = class_names(classes)
    done = STEPS[: STEPS.index(upto) + 1]
    rows = make_rows(rng, n, names, pair)
    run = start_run(folder, n, names, pair, test)
    save(rows, run.rows_file)
    write_json(run.audit_file, make_audit(rows, names, n // 4 if test else 0))
    trained = {"steps": n // 32 * 3, "seconds": {"run-0": 61.5, "null-0": 22.0}, "parameters": 17_400_000}
    train_models.finish(run, Trainings(), trained, 84.1)
    if "score" in done:
        facts = {"rows": n, "checkpoints": 10, "truncated": 1, "measured_chunks": 3, "refused": {}}
        measure_signals.finish(run, MeasureConfig(), facts, 251.0)
        save(make_scores(rng, rows), run.scores_file)
        finish_score(run, score_facts())
    if "select" in done:
        add_selection(run, 0.45)
    if "compare" in done:
        add_comparison(run, rng, "vog_class-easy-cutoff-0.45", names)
    return run


def save(table: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_table(path, table)


def finish_score(run: Run, facts: dict[str, Any]) -> None:
    """Record that the scores were computed."""
    compute_scores.finish(run, ScoreConfig(), facts, 0.0)


def class_names(classes: int) -> list[str]:
    """Plain names, and two that try to be more than a name."""
    plain = [f"intent_{index:03d}" for index in range(classes)]
    plain[1] = "<script>window.hacked = 5</script>"
    plain[2] = 'إيقاف "off" <b>&amp;</b>'
    return sorted(plain)


def make_rows(rng: np.random.Generator, n: int, names: list[str], pair: bool) -> pl.DataFrame:
    weight = 1 / (1 + np.arange(len(names))) ** 0.5
    label = rng.choice(names, n, p=weight / weight.sum())
    texts = [f"{rng.choice(VERBS)} {rng.choice(THINGS)} {index}" for index in range(n)]
    for index, text in enumerate(HOSTILE):
        texts[index] = text
    domain = rng.choice(["media", "home", "weather"], n).astype(object)
    domain[:7] = "<i>tiny</i>"
    columns = {"id": [f"row-{index}" for index in range(n)], "utterance": texts}
    if pair:
        columns["reply"] = [text[::-1] for text in texts]
    return pl.DataFrame({**columns, "intent": label, "domain": domain.tolist()})


def start_run(folder: Path, n: int, names: list[str], pair: bool, test: bool) -> Run:
    text = ("utterance", "reply") if pair else ("utterance",)
    data = DataConfig(
        train="data/<train>.jsonl",
        test="data/test.jsonl" if test else None,
        text=text,
        label="intent",
        groups=("domain",),
    )
    manifest = Manifest(
        thresher="0.1.0",
        versions={"python": "3.11.2", "torch": "2.13.0", "transformers": "5.0.0"},
        created="2026-02-03T10:11:12+0000",
        key="0b6a1d7f3c5e4c1f8a9d22bb",
        rows_hash="5f1c1f6b2f0d4d2d9a7e11aa",
        test_hash="77aa11bb22cc33dd44ee55ff" if test else None,
        n_rows=n,
        n_test=n // 4 if test else 0,
        classes=tuple(names),
        config=RunConfig(data=data),
    )
    write_manifest(folder, manifest)
    return Run(folder, manifest)


def make_audit(rows: pl.DataFrame, names: list[str], n_test: int) -> dict[str, Any]:
    counts = dict(rows["intent"].value_counts().iter_rows())
    example = {"texts": [HOSTILE[0]], "labels": {names[0]: 2, names[1]: 1}, "rows": 3, "ids": ["row-0"]}
    return {
        "n": rows.height,
        "classes": {name: counts.get(name, 0) for name in names},
        "groups": {"domain": dict(rows["domain"].value_counts().iter_rows())},
        "duplicates": {"rows": 17, "examples": [example]},
        "conflicting": {"texts": 4, "rows": 9, "examples": [example]},
        "empty": {"rows": 0, "ids": []},
        "singletons": [names[-1]],
        "overlap": {"test_rows_in_train": 3, "train_rows_in_test": 3, "test_ids": ["a"], "train_ids": ["b"]}
        if n_test
        else None,
        "test": {"n": n_test, "classes": dict.fromkeys(names, 1), "absent": []} if n_test else None,
    }


def make_scores(rng: np.random.Generator, rows: pl.DataFrame) -> pl.DataFrame:
    n = rows.height
    hardness = rng.gamma(2.0, 1.0, n)
    # The hostile rows stand at the ends, half hard and half easy, so that every score shows them.
    hardness[: len(HOSTILE)] = (
        np.where(np.arange(len(HOSTILE)) % 2, 30.0, -1.0) + np.arange(len(HOSTILE)) / 100
    )
    raw = {
        "el2n": 1.41 / (1 + np.exp(3 - hardness)),
        "forgetting": np.clip(np.round(hardness - 3), 0, 6),
        "pvi": 4 - hardness + rng.normal(0, 0.2, n),
        "tracin": np.exp(hardness / 3 + rng.normal(0, 0.1, n)),
        "vog": np.exp(hardness / 2 + rng.normal(0, 0.1, n)) * 1e-3,
    }
    table = rows.select("id", pl.col("intent").alias("label"), "domain").with_columns(
        **{k: pl.Series(k, v) for k, v in raw.items()}
    )
    standard = {
        f"{name}_{form}": ((pl.col(name) - mean) / spread).fill_nan(0.0).fill_null(0.0)
        for name in raw
        for form, mean, spread in (
            ("class", pl.col(name).mean().over("label"), pl.col(name).std(ddof=0).over("label")),
            ("dataset", pl.col(name).mean(), pl.col(name).std(ddof=0)),
        )
    }
    return table.with_columns(**standard)


def score_facts() -> dict[str, Any]:
    about = {
        name: {
            "hard": hard,
            "normalise": normalise,
            "runs_used": 1,
            "options": {"epoch": 2.0, "checkpoint": None},
            "source": "Anand et al., EMNLP 2023, sections 2.1 and B.1",
            "needs": ["logits"],
            "cost": "one training run",
        }
        for name, (hard, normalise) in SCORES.items()
    }
    return {"scores": about, "skipped": {"aum": "'logits' <were> not measured"}}


def add_selection(run: Run, prune: float, column: str = "vog_class") -> str:
    scores = pl.read_parquet(run.scores_file)
    settings = SelectConfig(by=column).model_copy(update={"prune": prune})
    name = f"{column}-easy-cutoff-{prune:g}"
    n_kept = round((1 - prune) * scores.height)
    rank = scores[column].rank("ordinal", descending=True)
    path = run.selection_file(name)
    save(scores.select("id", pl.col(column).alias("key")).with_columns(kept=rank <= n_kept), path)
    facts = {
        **settings.model_dump(mode="json"),
        "name": name,
        "column": column,
        "n_rows": scores.height,
        "n_kept": n_kept,
        "kept": "kept.jsonl",
        "dropped": "dropped.jsonl",
        "key": select.key(run, settings),
        "score": run.require("score").key,
    }
    write_json(path.with_suffix(".json"), facts)
    select.finish(run, settings, facts, 0.0)
    return name


def add_comparison(
    run: Run, rng: np.random.Generator, name: str, names: list[str], loss: float = -0.003
) -> None:
    rows, selection = (
        pl.read_parquet(run.rows_file),
        pl.read_parquet(run.selection_file(name)),
    )
    n_kept = int(selection["kept"].sum())
    level = {"full": 0.852, "kept": 0.852 + loss, "random": 0.84}
    arms = {
        arm: {
            "n_train": rows.height if arm == "full" else n_kept,
            **{
                metric: arm_figures(rng, mean - down)
                for metric, down in (("accuracy", 0), ("macro_f1", 0.014))
            },
        }
        for arm, mean in level.items()
    }
    differences = {
        f"{a}-{b}": {
            metric: span(arms[a][metric]["mean"] - arms[b][metric]["mean"], 0.005, 3, rows.height // 4)
            for metric in ("accuracy", "macro_f1")
        }
        for a, b in (("kept", "full"), ("kept", "random"), ("random", "full"))
    }
    joined = rows.join(selection.select("id", "kept"), on="id")
    settings = {
        "seeds": [0, 1, 2],
        "same_steps": False,
        "epochs": 3.0,
        "steps_full": 3 * rows.height // 32,
        "steps_pruned": 3 * n_kept // 32,
        "epochs_pruned": 3.0,
        "n_full": rows.height,
        "n_kept": n_kept,
        "n_test": rows.height // 4,
        "confidence": 0.95,
        "seconds": 301.0,
    }
    entry = {
        "selection": name,
        "settings": settings,
        "arms": arms,
        "differences": differences,
        "groups": {
            "label": {value: group(rng, joined.filter(pl.col("intent") == value)) for value in names},
            "domain": {value: group(rng, part) for (value,), part in joined.group_by("domain")},
        },
        "unseen": {"n_test": rows.height // 5, "arms": arms, "differences": differences},
        "select": run.require("select").key,
        "test": run.manifest.test_hash,
        "caution": "",
        "verdict": "as measured",
        "decision": {
            "word": "drop",
            "sentence": "Drop these <b>rows</b>: as measured.",
            "margin": 0.5,
            "looks": [],
            "planned": [3, 5],
            "needs": None,
        },
    }
    write_json(run.comparison_file(name), entry)
    compare.finish(run, CompareConfig(), {"name": name, "similarity": similarity(rng)}, 301.0)


def arm_figures(rng: np.random.Generator, mean: float) -> dict[str, Any]:
    values = [float(value) for value in rng.normal(mean, 0.0015, 3)]
    return {"mean": float(np.mean(values)), "std": float(np.std(values, ddof=1)), "values": values}


def span(mean: float, half: float, seeds: int, rows: int) -> dict[str, float]:
    return {
        "mean": mean,
        "low": mean - half,
        "high": mean + half,
        "se": half / 2,
        "df": 8.0,
        "seeds": seeds,
        "rows": rows,
    }


def group(rng: np.random.Generator, part: pl.DataFrame) -> dict[str, Any]:
    n_test = part.height // 8  # none for the tiny group
    entry: dict[str, Any] = {"n_train": part.height, "n_test": n_test}
    entry["removed"] = float((~part["kept"]).mean()) if part.height else None
    if n_test:
        full = float(rng.uniform(0.75, 0.95))
        change = float(rng.normal(0, 0.02))
        entry |= {"full": full, "kept": full + change, "random": full - 0.01}
        entry["kept-full"] = span(change, 0.5 / n_test**0.5 * 0.4, 3, n_test)
    return entry


def similarity(rng: np.random.Generator) -> list[dict[str, Any]]:
    chance = 0.45 / (2 - 0.45)
    return [
        {
            "score_a": a,
            "score_b": b,
            "end": end,
            "fraction": 0.45,
            "similarity": 1.0 if a == b else value,
            "chance": chance,
        }
        for end in ("hard", "easy")
        for i, a in enumerate(SCORES)
        for j, b in enumerate(SCORES)
        for value in [float(np.random.default_rng(i * j + len(end) * (i + j)).uniform(0.2, 0.9))]
    ]
