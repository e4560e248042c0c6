"""The share of the rows that is worth a proof on the model, found without the test rows."""

from __future__ import annotations

import numpy as np

from thresher.errors import UserError
from thresher.experiments.how_much import Search, by_heads, by_split, check, heads_of, told_by
from thresher.experiments.share_sentence import sentence
from thresher.progress import say
from thresher.run import Run
from thresher.run.steps import Facts


def candidate(run: Run, search: Search) -> Facts:
    """The largest share whose estimated loss lies within the margin, on rows that the models of the search have not seen.

    Heads on the frozen encoder search, where they score the rows, and else models like the run's own. Where the heads have not
    learned the task, or no share drops rows, there is none.

    Returns the facts of a search (see `how_much`), with "candidate": the share, 0 for none; and "sentence".
    """
    for reason in (not_learned(run), not_searchable(run, search)):
        if reason:
            say(f"run: {reason}")
            return {"candidate": 0.0, "fraction": 0.0, "looks": [], "sentence": reason}
    found = by_heads(run, search) if heads_of(run) else by_split(run, search)
    found |= told_by(run, search) | {"confirmed": None}
    found |= {"sentence": sentence(found)}
    say(f"run: {found['sentence']}")
    return found


def not_searchable(run: Run, search: Search) -> str:
    """Why there is no share to search for; empty if there is."""
    try:
        check(run, search)
    except UserError as error:
        return str(error)
    return ""


def not_learned(run: Run) -> str:
    """A sentence where the heads that score the rows are no better than always guessing the largest class, else empty.

    Better is by more than two standard errors, on rows that the heads have not seen.
    """
    scores = run.scores()
    if heads_of(run) is None or "held_out_margin" not in scores.columns:
        return ""
    right = float((scores["held_out_margin"].to_numpy() > 0).mean())
    share = float(np.unique(scores["label"].to_numpy(), return_counts=True)[1].max() / len(scores))
    if right > share + 2 * (share * (1 - share) / len(scores)) ** 0.5:
        return ""
    remedy = (
        "fine-tune the encoder: leave out --freeze"
        if run.config.model.freeze
        else "score with the model itself by --proxy none --strategy recommended"
    )
    return (
        f"The heads on the frozen encoder have not learned the task: they are right about {right:.1%} of the rows that they have"
        f" not seen, and always guessing the largest class gives {share:.1%}. Their scores tell nothing; {remedy}."
    )
