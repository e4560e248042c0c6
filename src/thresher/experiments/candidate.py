"""The share of the rows that is worth a proof on the model, found without the test rows."""

from __future__ import annotations

from thresher.experiments.arms import scores_of
from thresher.experiments.how_much import Search, arm_within, how_much, split
from thresher.experiments.share_search import look, search, sentence, shares
from thresher.pipeline.nested import as_scored, nested_run
from thresher.pipeline.preset import scored_by_heads
from thresher.run import Run
from thresher.run.steps import Facts


def candidate(run: Run, asked: Search) -> Facts:
    """The largest share that the rows show to be free, where heads are searched with, and else the answer of `how_much`.

    Returns the facts of a search with "candidate": the share, 0 where there is none.
    """
    if not scored_by_heads(run.config):
        found = how_much(run, asked)
        return {**found, "candidate": found["fraction"]}
    heads = run.scoring
    stay, aside = split(heads, asked)
    columns = run.score_columns()
    inner = nested_run(heads.step_folder("how_much") / "candidate", stay, aside, as_scored(heads))
    arm = arm_within(inner, asked.select, columns)
    rule = (asked.compare.same_steps, asked.compare.workers)
    grid = shares(arm, scores_of(inner, stay.table["id"]), asked.how_much.step, run.config.train.seed)
    entry = search(lambda fraction, seeds: look(inner, arm, fraction, seeds, *rule), grid, asked.how_much)
    entry |= {"margin": asked.how_much.margin, "same_steps": asked.compare.same_steps, "confirmed": None}
    return {**entry, "candidate": entry["fraction"], "sentence": sentence(entry)}
