"""Which rows can be dropped: a share is searched for, proved on the model, and made smaller where it does not hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from thresher.experiments.candidate import candidate
from thresher.experiments.compare import compare, comparison
from thresher.experiments.how_much import Search
from thresher.facts.comparison import Proof
from thresher.pipeline.pilot import with_trust
from thresher.pipeline.preset import TEXT_SHARE
from thresher.pipeline.select import select
from thresher.progress import say
from thresher.run import Run
from thresher.run.steps import Facts, step, test_hash
from thresher.wording import interval_text

# Shares proved on the same test rows: each is wrongly dropped in 2.5% of cases at most, so one of both in 5% (Bonferroni).
TRIES = 2
SAFE = ("drop", "probably safe")


class Decided(Search):
    """What is asked for, and what was found, which does not count as a setting."""

    found: Facts = Field(default_factory=dict)


def inputs(run: Run, settings: Decided) -> dict[str, object]:
    """The test rows, and what of the settings changes the decision."""
    return {**test_hash(run, settings), **settings.key(), "prune": settings.select.prune}


@step("decide", after="score", ignore=("select", "how_much", "compare", "found"), inputs=inputs, own=True)
def record(run: Run, settings: Decided) -> Facts:
    return settings.found


def decide(run: Run, search: Search) -> Facts:
    """Decide which rows to drop, and select them; what was decided before is not searched for again.

    Where a share is asked for, it is proved, and its rows are selected whatever comes out. With `prune="auto"` the share is
    that of `candidate`, found without the test rows. Where its proof shows a loss, or an estimate beyond the margin, the next
    share is the one at which a straight line through that loss reaches half the margin, at most half the former share. Where
    that does not hold either, all rows are kept.

    Returns {"word": of the last proof, "sentence", "prune": the share whose rows are selected, 0 for none, "margin": points,
    "tried": per proof {"selection", "prune", "n_kept", "n_rows", "seeds", "word", "mean", "low", "high"}, "search": what
    `candidate` found, or None}.
    """
    asked = Decided(**{name: getattr(search, name) for name in Search.model_fields})
    known = run.current("decide")
    if known and known.key == record.key(run, asked):
        select_share(run, search, known.facts["prune"])
        if known.facts["prune"]:
            compare(run, search.compare)
        return known.facts
    if search.select.prune == "auto":
        facts = searched_texts(run, search) if run.manifest.task == "text" else searched(run, search)
        if not facts["prune"]:
            select_share(run, search, 0.0)
    else:
        facts = decision([tried(run, search, search.select.prune)], search)
    return record(run, asked.model_copy(update={"found": facts}))


def searched(run: Run, search: Search) -> Facts:
    """Find a share, prove it, and the next smaller one where it does not hold."""
    # An estimate is enough for a share that is proved: no seeds are added to decide it.
    quick = search.how_much.model_copy(update={"most_seeds": search.how_much.first_seeds})
    found = candidate(run, search.model_copy(update={"how_much": quick}))
    share: float = found["candidate"]
    proofs: list[Proof] = []
    while share and len(proofs) < TRIES:
        proofs.append(tried(run, search, share))
        if proofs[-1]["word"] in SAFE:
            break
        share = next_share(share, -proofs[-1]["mean"], search.how_much.margin / 100, search.how_much.step)
        if share and len(proofs) < TRIES:
            say(f"decide: {proofs[-1]['prune']:.0%} does not hold on the model, going on to {share:.0%}")
    return decision(proofs, search, found)


def searched_texts(run: Run, search: Search) -> Facts:
    """Prove a share of the completions, and a smaller one where it does not hold: a search would take trainings by the dozen."""
    proofs: list[Proof] = []
    share, margin = TEXT_SHARE, search.compare.loss_margin
    while share and len(proofs) < TRIES:
        proofs.append(tried(run, search, share))
        if proofs[-1]["word"] in SAFE:
            break
        share = next_share(share, -proofs[-1]["mean"], margin, search.how_much.step)
        if share and len(proofs) < TRIES:
            say(f"decide: {proofs[-1]['prune']:.0%} does not hold, going on to {share:.0%}")
    return decision(proofs, search, {"candidate": TEXT_SHARE})


def tried(run: Run, search: Search, share: float) -> Proof:
    """Select by a share, and prove the selection."""
    select_share(run, search, share)
    name = compare(run, search.compare)["name"]
    entry = comparison(run, name)
    last = entry["decision"]["looks"][-1]
    return {
        "selection": name,
        "prune": share,
        "task": entry["settings"].get("task", "label"),
        "n_kept": entry["settings"]["n_kept"],
        "n_rows": entry["settings"]["n_full"],
        "sentence": entry["decision"]["sentence"],
        **last,
    }


def select_share(run: Run, search: Search, share: float) -> None:
    """Select by a share, 0 for all rows, as far as a pilot of the model trusts the scores."""
    settings = search.select.model_copy(update={"prune": share})
    select(run, with_trust(run, settings, search.compare.same_steps))


def next_share(share: float, loss: float, margin: float, step: float) -> float:
    """The next smaller share to prove, a multiple of `step`; 0 for none.

        share * min(1/2, margin / (2 loss)), rounded down

    Losses grow faster than shares, so a straight line through the loss that was seen errs on the safe side.

    >>> next_share(0.6, 0.01, 0.005, 0.05), next_share(0.6, 0.004, 0.005, 0.05), next_share(0.1, 0.02, 0.005, 0.05)
    (0.15, 0.3, 0.0)
    """
    down = share * min(0.5, margin / (2 * loss)) if loss > 0 else share / 2
    return round(step * math.floor(down / step + 1e-9), 6)


def decision(proofs: Sequence[Proof], search: Search, found: Mapping[str, Any] | None = None) -> Facts:
    """The decision by its proofs; the share is 0 where one was searched for and none of the proofs shows or sees it as safe."""
    last = proofs[-1] if proofs else None
    holds = last is not None and (found is None or last["word"] in SAFE)
    return {
        "word": last["word"] if last else "do not drop",
        "sentence": sentence(proofs, holds, search.how_much.margin, found),
        "prune": last["prune"] if last and holds else 0.0,
        "margin": search.compare.loss_margin if of_texts(proofs) else search.how_much.margin,
        "tried": [{name: value for name, value in one.items() if name != "sentence"} for one in proofs],
        "search": dict(found) if found else None,
    }


def of_texts(proofs: Sequence[Proof]) -> bool:
    """Whether the proofs are of completions, whose margin is in nats."""
    return any(one.get("task") == "text" for one in proofs)


def sentence(proofs: Sequence[Proof], holds: bool, margin: float, found: Mapping[str, Any] | None) -> str:
    """The decision in words: that of the last proof, and the shares that did not hold before it."""
    if not proofs:
        return f"Do not drop any rows; the kept file has all of them. {found['sentence'] if found else ''}".rstrip()
    before = [before_it(one, margin) for one in proofs[:-1]]
    all_kept = [] if holds else ["Do not drop any rows; the kept file has all of them."]
    return " ".join([*all_kept, proofs[-1]["sentence"], *before])


def before_it(one: Proof, margin: float) -> str:
    """What is said of a share that did not hold before the last one that was tried."""
    if one.get("task") == "text":
        return f"Before it: {one['sentence']}"
    return (
        f"Dropping {one['prune']:.0%} does not hold: accuracy changes by {interval_text(one, ' points')}, with a margin of"
        f" {margin:g}."
    )


def unproved(run: Run, search: Search) -> Facts:
    """Select rows where there are no test rows: by the share that is asked for, or by the one that a search shows to be free."""
    asked = search.select.prune
    searches = asked == "auto" and run.manifest.task != "text"
    found = candidate(run, search) if searches else None
    share: Any = found["fraction"] if found else TEXT_SHARE if asked == "auto" else asked
    select_share(run, search, share)
    rows = run.require("select").facts
    dropped = f"{rows['n_rows'] - rows['n_kept']:,} of {rows['n_rows']:,} rows"
    if found and not share:
        told = sentence([], False, search.how_much.margin, found)
    else:
        how = f" {found['sentence']}" if found else ""
        told = (
            f"Nothing was proved on the model: there are no test rows to show what dropping {dropped} costs. Give --test FILE, or"
            f" leave out --hold-out 0.{how}"
        )
    return {
        "word": "not proved" if share else "do not drop",
        "sentence": told,
        "prune": share,
        "margin": search.how_much.margin,
        "tried": [],
        "search": dict(found) if found else None,
    }
