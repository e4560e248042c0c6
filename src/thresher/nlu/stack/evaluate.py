"""Evaluate a stack on test rows: every metric, over all rows and per domain."""

from __future__ import annotations

from typing import Any

import polars as pl

from thresher.nlu.metrics import ERRORS, counts, slot_f1, slot_report
from thresher.nlu.stack.answer import Stack, answer


def evaluate(stack: Stack, rows: pl.DataFrame) -> dict[str, Any]:
    """Error rates on annotated test rows. Labels that no training row has count as errors.

    Returns
    -------
    {"n", "metrics": {DCER, ICER, SEMER, F-SEMER, IRER, slot F1}, "domains": {name: {"n", ...}}, "slots": seqeval's report per
    label, "paths": {path: rows}, "unknown_labels": rows with a domain or intent that no training row has}.
    """
    return judge(rows, answers_for(stack, rows), stack)


def answers_for(stack: Stack, rows: pl.DataFrame) -> pl.DataFrame:
    """The stack's answers to annotated rows, with their ids."""
    return rows.select("id").hstack(answer(stack, rows["text"].to_list()))


def judge(rows: pl.DataFrame, answers: pl.DataFrame, stack: Stack | None = None) -> dict[str, object]:
    """The result of `evaluate` from existing answers."""
    counted = counts(rows, answers)
    result: dict[str, object] = {
        "n": rows.height,
        "metrics": figures(counted),
        "domains": {
            str(name): {"n": own.height, **figures(own)}
            for (name,), own in sorted(counted.group_by("domain"), key=lambda item: str(item[0]))
        },
        "slots": slot_report(rows, answers),
        "paths": dict(answers["path"].value_counts().sort("path").iter_rows()),
    }
    if stack is not None:
        known = {(domain, intent) for domain, own in stack.labels.intents.items() for intent in own}
        given = zip(rows["domain"], rows["intent"], strict=True)
        result["unknown_labels"] = sum(pair not in known for pair in given)
    return result


def figures(counted: pl.DataFrame) -> dict[str, float]:
    """Every error rate and slot F1 from a table of `counts`."""
    rates = {name: metric(counted).value for name, metric in ERRORS.items()}
    return {**rates, "slot F1": slot_f1(counted).value}
