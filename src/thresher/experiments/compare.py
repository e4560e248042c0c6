"""The proof: retrain on the kept rows and on as many random ones, and compare both with full data."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from thresher.config import CompareConfig
from thresher.errors import UserError
from thresher.experiments.arm_cells import arm_cells, kept_rows, selection_of
from thresher.experiments.cell import Result
from thresher.experiments.cells import forget_cells, predictions
from thresher.experiments.comparing import DIFFERENCES, by_group, settings_of, trained, unseen_rows
from thresher.experiments.decision import decision, follow, parts_of
from thresher.experiments.intervals import paired_interval
from thresher.experiments.looks import planned
from thresher.experiments.metrics import accuracy, macro_f1
from thresher.experiments.similarity import similarity_table
from thresher.experiments.wording import ARMS, caution, verdict
from thresher.facts.comparison import (
    ArmFacts,
    ComparisonFacts,
    Contrast,
    GroupFacts,
    Groups,
    MeasuredComparison,
    Metric,
    Unseen,
)
from thresher.facts.figures import Bounds
from thresher.progress import say
from thresher.rows import Rows, check_rows, read_rows
from thresher.run import Run
from thresher.run.integrity import read_json, write_json
from thresher.run.steps import Facts, require_test, step, test_hash

METRICS: dict[Metric, Callable[[np.ndarray, np.ndarray], float]] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
}


def comparable(run: Run, settings: CompareConfig) -> None:
    """Refuse a run without the test rows it names, and a selection that keeps every row."""
    require_test(run)
    check_rows(run.rows_file)
    if read_rows(run.test_file).hash() != run.manifest.test_hash:
        # A command that gave other test rows was killed between writing and naming them.
        raise UserError(f"{run}: other test rows than those that run.yaml names; give --test FILE again")
    name = run.require("select").facts["name"]
    if selection_of(run, name)["kept"].all():
        raise UserError(
            f"{run}: selection {name} keeps all {run.manifest.n_rows:,} rows, so there is nothing to prove; prune more"
        )


def intact(run: Run, facts: Facts) -> str | None:
    """Why the comparison of a finished step cannot be used; None if it can."""
    path = run.comparison_file(facts["name"])
    try:
        read_json(path)
    except FileNotFoundError:
        return f"{path}: missing"
    except (OSError, ValueError) as error:
        return f"{path}: damaged ({error})"
    return None


def inputs(run: Run, settings: CompareConfig) -> dict[str, object]:
    """The test rows, and the margin of the decision."""
    return {**test_hash(run, settings), "margin": run.config.how_much.margin}


@step(
    "compare",
    after="select",
    ignore=("workers", "hold_out", "budget"),
    inputs=inputs,
    check=comparable,
    problem=intact,
    clear=lambda run, settings: forget_cells(
        run, [cell for arm in arm_cells(run, settings).values() for cell in arm]
    ),
    own=True,
)
def compare(run: Run, settings: CompareConfig) -> Facts:
    """Retrain S seeds on all rows, on the kept ones and on the same number of random ones; same recipe for all.

    The seed of a training fixes the head's initialisation, dropout and data order, and is shared by the three arms; the
    random arm also draws other rows for every seed. With `same_steps` the pruned trainings take as many steps as the full one
    (and so more epochs); otherwise as many epochs (and so fewer steps).

    Where S trainings do not decide within the margin, seeds are added to all arms, up to `most_seeds`; all intervals allow for
    the looks that were planned (`confidences`).

    The comparison is written beside those of other selections; see `comparison`.
    """
    if run.manifest.task == "text":
        from thresher.experiments.compare_texts import compare_texts

        return compare_texts(run, settings)
    selected = run.require("select")
    name = selected.facts["name"]
    rows, test = read_rows(run.rows_file), read_rows(run.test_file)
    truth = test.labels()
    kept = kept_rows(rows.table["id"], selection_of(run, name))
    cells = arm_cells(run, settings)
    plan, margin = planned(settings.seeds, settings.most_seeds), run.config.how_much.margin
    by_arm: dict[str, list[Result]] = {}

    def predicted_with(seeds: int) -> dict[str, np.ndarray]:
        if seeds > plan[0]:
            say(f"compare: undecided after {len(by_arm['full'])} seeds, going on to {seeds}")
        by_arm.update(trained(run, cells, seeds, settings.workers))
        return {arm: predictions(run, by_arm[arm]) for arm in ARMS}

    looks, predicted = follow(predicted_with, truth, plan, margin / 100)
    level = looks[-1]["confidence"]
    found: MeasuredComparison = {
        "selection": name,
        "settings": settings_of(run, settings, by_arm, int(kept.sum()), len(test)),
        **contrast(predicted, truth, settings.bootstrap, level),
        "groups": group_contrast(rows, test, kept, predicted, level),
        "unseen": unseen_contrast(rows, test, predicted, settings.bootstrap, level),
        "select": selected.key,
        "test": run.manifest.test_hash,
        "caution": caution(truth, predicted["full"]),
    }
    for arm in ARMS:
        found["arms"][arm]["n_train"] = by_arm[arm][0]["n_train"]
    parts = parts_of(predicted["kept"], predicted["full"], truth)
    entry: ComparisonFacts = {
        **found,
        "verdict": verdict(found),
        "decision": decision(found, parts, looks, plan, margin),
    }
    write_json(run.comparison_file(name), entry)
    similar = similarity_table(run.scores(), selected.facts["prune"])
    say(f"compare: {len(ARMS)} x {looks[-1]['seeds']} trainings")
    return {"name": name, "similarity": similar.to_dicts()}


def comparison(run: Run, name: str) -> ComparisonFacts:
    """What `compare` found for a selection: settings, arms, differences with 95% intervals, groups, unseen, verdict, decision."""
    return read_json(run.comparison_file(name))


def contrast(
    predicted: Mapping[str, np.ndarray], truth: np.ndarray, bootstrap: int, confidence: float = 0.95
) -> Contrast:
    """Mean and standard deviation over seeds per arm, and the paired differences with their intervals.

    `predicted`: per arm, classes (S, n). `truth`: (n,). `confidence`: level of the intervals.
    """
    arms: dict[str, ArmFacts] = {}
    for arm, classes in predicted.items():
        arms[arm] = {}
        for metric, measure in METRICS.items():
            values = [float(measure(truth, row)) for row in classes]
            arms[arm][metric] = {
                "mean": float(np.mean(values)),
                "std": float(np.std(values, ddof=1)),
                "values": values,
            }
    differences: dict[str, dict[str, Bounds]] = {
        f"{a}-{b}": {
            metric: paired_interval(
                predicted[a], predicted[b], truth, measure, confidence=confidence, bootstrap=bootstrap
            )
            for metric, measure in METRICS.items()
        }
        for a, b in DIFFERENCES
    }
    return {"arms": arms, "differences": differences}


def unseen_contrast(
    rows: Rows, test: Rows, predicted: Mapping[str, np.ndarray], bootstrap: int, confidence: float = 0.95
) -> Unseen | None:
    """The same over the test rows whose text is not in the training rows; None if that is all of them or none."""
    unseen = unseen_rows(rows, test)
    if unseen is None:
        return None
    part = {arm: classes[:, unseen] for arm, classes in predicted.items()}
    return {"n_test": int(unseen.sum()), **contrast(part, test.labels()[unseen], bootstrap, confidence)}


def group_contrast(
    rows: Rows,
    test: Rows,
    kept: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    confidence: float = 0.95,
) -> Groups:
    """Per value of every group column, and of the label: share removed, accuracy per arm, and the change with its interval."""
    truth = test.labels()

    def measured(among: np.ndarray) -> GroupFacts:
        part = {arm: classes[:, among] for arm, classes in predicted.items()}
        right = {arm: float((classes == truth[among]).mean()) for arm, classes in part.items()}
        return {
            "full": right["full"],
            "kept": right["kept"],
            "random": right["random"],
            "kept-full": paired_interval(part["kept"], part["full"], truth[among], confidence=confidence),
        }

    columns = [("label", rows.label), *((name, name) for name in rows.groups if name in test.groups)]
    return by_group(rows, test, kept, columns, measured)
