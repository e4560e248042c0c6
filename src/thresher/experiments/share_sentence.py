"""The answer of a search for the largest share, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from thresher.experiments.share_search import percent
from thresher.facts.figures import Bounds
from thresher.facts.search import ConfirmedShare
from thresher.selection.request import target
from thresher.wording import interval_text, nats, rise


def sentence(entry: Mapping[str, Any]) -> str:
    """The share of rows that can be dropped, the fraction to prune by, the rows it was shown on, and what the test rows say."""
    of_texts = entry.get("metric") == "loss"
    margin = f"{entry['margin']:g} {'nats per completion token' if of_texts else 'points'}"
    kind = "heads" if entry["folds"] else "trainings"
    cost = f"{entry['trainings']} {kind} of the same {'steps' if entry['same_steps'] else 'epochs'}"
    where, how = rows_of(entry)
    if not entry["fraction"]:
        first = min(entry["looks"], key=lambda one: one["fraction"])
        seems = (
            f" The estimated loss stays within the margin up to {percent(entry['candidate_removed'])}."
            if entry["candidate"]
            else ""
        )
        told = f"the loss on {where} changes by" if of_texts else f"accuracy on {where} is"
        return (
            f"No share of the rows is shown to be free at a margin of {margin}: without {percent(first['removed'])} {told}"
            f" {change(first, of_texts)} to all rows ({cost}).{seems}"
        )
    chosen = next(one for one in entry["looks"] if one["fraction"] == entry["fraction"])
    most = max(one["removed"] for one in entry["looks"])
    place = [
        f"more than {percent(most)}" if entry[name] is None else percent(entry[name])
        for name in ("estimate", "low", "high")
    ]
    held = chosen["n_kept"] > target(chosen["n_full"], chosen["fraction"])
    by = f"prune {entry['fraction']:g}" + ("; floors and protected rows keep the others" if held else "")
    what = "of loss" if of_texts else "of accuracy"
    found = (
        f"{percent(entry['removed'])} of the rows can be dropped ({by}) at a margin of {margin}: {change(chosen, of_texts)}"
        f" {what} to all rows on {where}{how}, {chosen['seeds']} seeds. The loss passes the margin at {place[0]}"
        f" [{place[1]}, {place[2]}]; {cost}."
    )
    return f"{found} {confirmation(entry.get('confirmed'), of_texts)}"


def change(gain: Bounds, of_texts: bool) -> str:
    """What the kept rows change: accuracy, in points, or the loss, in nats, which rises where they gain less than nothing.

    >>> gain = {"mean": -0.004, "low": -0.01, "high": 0.002}
    >>> change(gain, of_texts=False), change(gain, of_texts=True)
    ('-0.40 [-1.00, +0.20] points', '+0.004 [-0.002, +0.010] nats')
    """
    return f"{nats(rise(gain))} nats" if of_texts else f"{interval_text(gain)} points"


def rows_of(entry: Mapping[str, Any]) -> tuple[str, str]:
    """The rows that decided, and how they did."""
    n = f"{entry['n_validation']:,}"
    if entry["folds"]:
        return f"{n} training rows", f", each tested by heads that had not seen it ({entry['folds']} folds)"
    return f"{n} validation rows", " cut from the training rows"


def confirmation(confirmed: ConfirmedShare | None, of_texts: bool = False) -> str:
    """What rows that took no part in the search say of the share that it found."""
    if not confirmed:
        return "The intervals allow for every look of the search; it is not confirmed on other rows."
    holds = "confirmed" if confirmed["shown"] == "not worse" else f"not confirmed, {confirmed['shown']}"
    return (
        f"On the {confirmed['n_test']:,} test rows, which took no part in the search, without"
        f" {percent(confirmed['removed'])} of all training rows: {change(confirmed, of_texts)} ({holds})."
    )
