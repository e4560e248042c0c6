"""The proof of a language model: retrain on the kept rows and on as many random ones, and compare held-out completions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thresher.config import CompareConfig
from thresher.experiments.arm_cells import arm_cells, kept_rows, selection_of, wordings
from thresher.experiments.cells import run_cells
from thresher.experiments.decision import word_of
from thresher.experiments.looks import confidences, planned
from thresher.experiments.proof_rows import trained_on
from thresher.experiments.ratio_intervals import ratio_interval
from thresher.experiments.text_cells import measured_columns
from thresher.experiments.wording import ARMS, few_seeds
from thresher.progress import say
from thresher.rows import Rows, read_rows
from thresher.run import Run
from thresher.run.integrity import write_json
from thresher.run.steps import Facts
from thresher.wording import nats

DIFFERENCES = (("kept", "full"), ("kept", "random"), ("random", "full"))
# What a metric sums, and over what: a loss, in nats, is better where it is lower.
METRICS = {"loss": ("loss", "tokens"), "token_accuracy": ("right", "tokens"), "exact": ("exact", None)}
Tested = Mapping[str, Mapping[str, NDArray[np.float64]]]  # per arm and column (S, n)


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
    by_arm: dict[str, list[dict[str, Any]]] = {}
    looks: list[dict[str, Any]] = []
    tested: dict[str, dict[str, NDArray[np.float64]]] = {}
    for seeds, level in zip(plan, confidences(plan), strict=True):
        if looks:
            say(f"compare: undecided after {looks[-1]['seeds']} seeds, going on to {seeds}")
        results = run_cells(run, [cell for arm in ARMS for cell in cells[arm][:seeds]], settings.workers)
        by_arm = {arm: [result for result in results if result["arm"] == arm] for arm in ARMS}
        tested = {arm: measured_columns(run, by_arm[arm]) for arm in ARMS}
        looks.append(look(tested, seeds, level, margin))
        if looks[-1]["word"] in ("drop", "do not drop"):
            break
    level = looks[-1]["confidence"]
    facts = {
        "task": "text",
        "seeds": [result["seed"] for result in by_arm["full"]],
        "same_steps": settings.same_steps,
        "epochs": run.config.train.epochs,
        "steps_full": by_arm["full"][0]["steps"],
        "steps_pruned": by_arm["kept"][0]["steps"],
        "epochs_pruned": by_arm["kept"][0]["epochs"],
        "n_full": len(rows),
        "n_kept": int(kept.sum()),
        "proof_rows": by_arm["full"][0]["n_train"],
        "n_test": len(test),
        "n_tokens": int(tested["full"]["tokens"][0].sum()),
        "held_out": run.tests_held_out,
        "confidence": 0.95,
        "seconds": round(sum(one["seconds"] for arm in ARMS for one in by_arm[arm]), 1),
    }
    entry: dict[str, Any] = {
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
        entry["arms"][arm]["n_train"] = by_arm[arm][0]["n_train"]
    entry["verdict"] = verdict(entry)
    entry["decision"] = {
        "word": looks[-1]["word"],
        "sentence": sentence(entry, looks[-1], margin) + trained_on(facts),
        "margin": margin,
        "looks": looks,
        "planned": list(plan),
        "needs": None,
    }
    write_json(run.comparison_file(name), entry)
    say(f"compare: {len(ARMS)} x {looks[-1]['seeds']} trainings")
    return {"name": name, "similarity": []}


def look(tested: Tested, seeds: int, level: float, margin: float) -> dict[str, Any]:
    """What the kept rows change, as a gain: full data's loss minus theirs, and what that says about the margin."""
    found = change(tested["full"], tested["kept"], "loss", level)
    gain = {name: found[name] for name in ("mean", "low", "high")}
    return {"seeds": seeds, "confidence": level, **gain, "word": word_of(gain, margin)}


def change(
    a: Mapping[str, NDArray[np.float64]], b: Mapping[str, NDArray[np.float64]], metric: str, level: float
) -> dict[str, Any]:
    """The difference of a metric between two arms, `a` minus `b`, with its interval."""
    column, size = METRICS[metric]
    sizes = a[size][0] if size else np.ones(a[column].shape[1])
    return dict(ratio_interval(a[column], b[column], sizes, level))


def contrast(tested: Tested, level: float = 0.95) -> dict[str, Any]:
    """Mean and standard deviation over seeds per arm and metric, and the paired differences with their intervals."""
    arms: dict[str, Any] = {}
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
    differences = {
        f"{a}-{b}": {metric: change(tested[a], tested[b], metric, level) for metric in METRICS}
        for a, b in DIFFERENCES
    }
    return {"arms": arms, "differences": differences}


def groups_of(
    rows: Rows, test: Rows, kept: NDArray[np.bool_], tested: Tested, level: float
) -> dict[str, dict[str, Any]]:
    """Per value of every group column: share removed, loss per arm, and the change of the loss with its interval."""
    result: dict[str, dict[str, Any]] = {}
    for name in (name for name in rows.groups if name in test.groups):
        train_values, test_values = rows.table[name].to_numpy(), test.table[name].to_numpy()
        result[name] = {}
        for value in sorted(set(train_values) | set(test_values)):
            in_train, in_test = train_values == value, test_values == value
            entry: dict[str, Any] = {"n_train": int(in_train.sum()), "n_test": int(in_test.sum())}
            entry["removed"] = float(1 - kept[in_train].mean()) if in_train.any() else None
            if in_test.any():
                part = of_rows(tested, in_test)
                entry |= {arm: float(one["loss"].sum() / one["tokens"].sum()) for arm, one in part.items()}
                entry["kept-full"] = change(part["kept"], part["full"], "loss", level)
            result[name][str(value)] = entry
    return result


def of_rows(tested: Tested, chosen: NDArray[np.bool_]) -> dict[str, dict[str, NDArray[np.float64]]]:
    """The same, of some of the test rows."""
    return {arm: {name: one[:, chosen] for name, one in columns.items()} for arm, columns in tested.items()}


def unseen(rows: Rows, test: Rows, tested: Tested, level: float) -> dict[str, Any] | None:
    """The same over the test rows whose prompt is not in the training rows; None if that is all of them or none."""
    known = set(wordings(rows))
    seen = np.array([text in known for text in wordings(test)])
    if not seen.any() or seen.all():
        return None
    return {"n_test": int((~seen).sum()), **contrast(of_rows(tested, ~seen), level)}


def verdict(entry: Mapping[str, Any]) -> str:
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


def sentence(entry: Mapping[str, Any], last: Mapping[str, Any], margin: float) -> str:
    """The decision in words."""
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
