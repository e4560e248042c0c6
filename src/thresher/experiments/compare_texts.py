"""The proof of a language model: retrain on the kept rows and on as many random ones, and compare held-out completions."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from thresher.config import CompareConfig
from thresher.experiments.arm_cells import arm_cells, kept_rows, selection_of
from thresher.experiments.cell import Result
from thresher.experiments.comparing import DIFFERENCES, by_group, settings_of, trained, unseen_rows
from thresher.experiments.decision import word_of
from thresher.experiments.intervals import Interval
from thresher.experiments.looks import confidences, planned
from thresher.experiments.proof_rows import trained_on
from thresher.experiments.ratio_intervals import ratio_interval
from thresher.experiments.text_cells import measured_columns
from thresher.experiments.wording import ARMS, few_seeds
from thresher.facts.comparison import (
    ArmFacts,
    ComparisonFacts,
    ComparisonSettings,
    Contrast,
    GroupFacts,
    Groups,
    Look,
    MeasuredComparison,
    TextMetric,
    Unseen,
)
from thresher.facts.figures import Bounds
from thresher.progress import say
from thresher.rows import Rows, read_rows
from thresher.run import Run
from thresher.run.integrity import write_json
from thresher.run.steps import Facts
from thresher.wording import nats

# What a metric sums, and over what: a loss, in nats, is better where it is lower.
METRICS: dict[TextMetric, tuple[str, str | None]] = {
    "loss": ("loss", "tokens"),
    "token_accuracy": ("right", "tokens"),
    "exact": ("exact", None),
}
Outcomes = Mapping[str, Mapping[str, NDArray[np.float64]]]  # per arm and column (S, n)


def compare_texts(run: Run, settings: CompareConfig) -> Facts:
    """Retrain S seeds on all rows, on the kept ones and on as many random ones, and compare the loss of held-out completions.

    As `compare` does for classifiers: same recipe, paired by seed, seeds added up to `most_seeds` while undecided, intervals that
    allow for the looks.
    """
    selected = run.require("select")
    name = selected.facts["name"]
    rows, test = read_rows(run.rows_file), read_rows(run.test_file)
    kept = kept_rows(rows.table["id"], selection_of(run, name))
    cells = arm_cells(run, settings)
    plan, margin = planned(settings.seeds, settings.most_seeds), settings.loss_margin
    by_arm: dict[str, list[Result]] = {}
    looks: list[Look] = []
    tested: dict[str, dict[str, NDArray[np.float64]]] = {}
    for seeds, level in zip(plan, confidences(plan), strict=True):
        if looks:
            say(f"compare: undecided after {looks[-1]['seeds']} seeds, going on to {seeds}")
        by_arm = trained(run, cells, seeds, settings.workers)
        tested = {arm: measured_columns(run, by_arm[arm]) for arm in ARMS}
        looks.append(look(tested, seeds, level, margin))
        if looks[-1]["word"] in ("drop", "do not drop"):
            break
    level = looks[-1]["confidence"]
    facts: ComparisonSettings = {
        "task": "text",
        **settings_of(run, settings, by_arm, int(kept.sum()), len(test)),
        "n_tokens": int(tested["full"]["tokens"][0].sum()),
    }
    found: MeasuredComparison = {
        "selection": name,
        "settings": facts,
        **contrast(tested, level),
        "groups": groups_of(rows, test, kept, tested, level),
        "unseen": unseen(rows, test, tested, level),
        "select": selected.key,
        "test": run.manifest.test_hash,
        "caution": "",
    }
    for arm in ARMS:
        found["arms"][arm]["n_train"] = by_arm[arm][0]["n_train"]
    entry: ComparisonFacts = {
        **found,
        "verdict": verdict(found),
        "decision": {
            "word": looks[-1]["word"],
            "sentence": sentence(found, looks[-1], margin) + trained_on(facts),
            "margin": margin,
            "looks": looks,
            "planned": list(plan),
            "needs": None,
        },
    }
    write_json(run.comparison_file(name), entry)
    say(f"compare: {len(ARMS)} x {looks[-1]['seeds']} trainings")
    return {"name": name, "similarity": []}


def look(tested: Outcomes, seeds: int, level: float, margin: float) -> Look:
    """What the kept rows change, as a gain: full data's loss minus theirs, and what that says about the margin."""
    found = change(tested["full"], tested["kept"], "loss", level)
    gain: Bounds = {"mean": found["mean"], "low": found["low"], "high": found["high"]}
    return {"seeds": seeds, "confidence": level, **gain, "word": word_of(gain, margin)}


def change(
    a: Mapping[str, NDArray[np.float64]],
    b: Mapping[str, NDArray[np.float64]],
    metric: TextMetric,
    level: float,
) -> Interval:
    """The difference of a metric between two arms, `a` minus `b`, with its interval."""
    column, size = METRICS[metric]
    sizes = a[size][0] if size else np.ones(a[column].shape[1])
    return ratio_interval(a[column], b[column], sizes, level)


def contrast(tested: Outcomes, level: float = 0.95) -> Contrast:
    """Mean and standard deviation over seeds per arm and metric, and the paired differences with their intervals."""
    arms: dict[str, ArmFacts] = {}
    for arm, columns in tested.items():
        arms[arm] = {}
        for metric, (column, size) in METRICS.items():
            total = columns[size].sum(1) if size else columns[column].shape[1]
            values = columns[column].sum(1) / total
            arms[arm][metric] = {
                "mean": float(values.mean()),
                "std": float(values.std(ddof=1)) if len(values) > 1 else 0.0,
                "values": values.tolist(),
            }
    differences: dict[str, dict[str, Bounds]] = {
        f"{a}-{b}": {metric: change(tested[a], tested[b], metric, level) for metric in METRICS}
        for a, b in DIFFERENCES
    }
    return {"arms": arms, "differences": differences}


def groups_of(rows: Rows, test: Rows, kept: NDArray[np.bool_], tested: Outcomes, level: float) -> Groups:
    """Per value of every group column: share removed, loss per arm, and the change of the loss with its interval."""

    def measured(among: NDArray[np.bool_]) -> GroupFacts:
        part = of_rows(tested, among)
        loss = {arm: float(one["loss"].sum() / one["tokens"].sum()) for arm, one in part.items()}
        return {
            "full": loss["full"],
            "kept": loss["kept"],
            "random": loss["random"],
            "kept-full": change(part["kept"], part["full"], "loss", level),
        }

    columns = ((name, name) for name in rows.groups if name in test.groups)
    return by_group(rows, test, kept, columns, measured)


def of_rows(tested: Outcomes, chosen: NDArray[np.bool_]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """The same, of some of the test rows."""
    return {arm: {name: one[:, chosen] for name, one in columns.items()} for arm, columns in tested.items()}


def unseen(rows: Rows, test: Rows, tested: Outcomes, level: float) -> Unseen | None:
    """The same over the test rows whose prompt is not in the training rows; None if that is all of them or none."""
    chosen = unseen_rows(rows, test)
    if chosen is None:
        return None
    return {"n_test": int(chosen.sum()), **contrast(of_rows(tested, chosen), level)}


def verdict(entry: MeasuredComparison) -> str:
    """The comparison in a sentence, with its interval and what random rows do."""
    facts, arms, differences = entry["settings"], entry["arms"], entry["differences"]
    share = 1 - facts["n_kept"] / facts["n_full"]
    loss = {arm: arms[arm]["loss"]["mean"] for arm in ("kept", "full")}
    exact = {arm: arms[arm]["exact"]["mean"] for arm in ("kept", "full", "random")}
    told = {name: nats(found["loss"], " nats") for name, found in differences.items()}
    return (
        f"Without {share:.1%} of the rows the held-out loss is {loss['kept']:.3f} nats per completion token (perplexity"
        f" {math.exp(loss['kept']):.2f}) against {loss['full']:.3f} on all of them: {told['kept-full']}; as many random rows"
        f" instead: {told['random-full']}, and the kept ones against random: {told['kept-random']}. Completions that are exactly"
        f" right: {exact['kept']:.1%}, {exact['full']:.1%} on all rows, {exact['random']:.1%} on random ones."
        f" {few_seeds(len(facts['seeds']))}".rstrip()
        + trained_on(facts)
    )


def sentence(entry: MeasuredComparison, last: Look, margin: float) -> str:
    facts, differences = entry["settings"], entry["differences"]
    dropped = facts["n_full"] - facts["n_kept"]
    rows = f"{dropped:,} rows ({100 * dropped / facts['n_full']:.3g}%)"
    told = (
        f"the held-out loss changes by {nats(differences['kept-full']['loss'], ' nats')} per completion token"
    )
    if last["word"] == "drop":
        return f"Drop these {rows}: {told}, within the margin of {margin:g}."
    if last["word"] == "do not drop":
        random = differences["random-full"]["loss"]
        also = f" As many random rows cost {nats(random, ' nats')}" if random["low"] > 0 else ""
        steps = (
            f", which fewer steps can explain ({facts['steps_pruned']:,} instead of {facts['steps_full']:,}): `--same-steps`"
            " gives the kept rows as many as all rows."
        )
        why = "" if not also else also + ("." if facts["same_steps"] else steps)
        return f"Do not drop these {rows}: {told}, a rise that may exceed the margin of {margin:g}.{why}"
    more = "more seeds (--most-seeds) or test rows would show it"
    if last["word"] == "probably safe":
        return (
            f"These {rows} are probably safe to drop: {told}; no rise of the loss is shown, but one of {margin:g} or more is not"
            f" ruled out; {more}."
        )
    chance = f"which may be chance or more than the margin of {margin:g}"
    return f"Whether to drop these {rows} is undecided: {told}, {chance}; {more}."
