"""Questions to a run that are answered by training models again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from thresher.api.arguments import End, Normalise, with_arguments
from thresher.results import LargestShare, NoiseStudy, Sweep
from thresher.run import Run, RunLike
from thresher.run.integrity import read_json
from thresher.signature import public


@public
def how_much(
    run: RunLike,
    *,
    margin: float | None = None,
    validation: float | None = None,
    step: float | None = None,
    first_seeds: int | None = None,
    most_seeds: int | None = None,
    by: str | None = None,
    end: End | None = None,
    normalise: Normalise | None = None,
    strategy: str | None = None,
    options: Mapping[str, float] | None = None,
    stratify: str | None = None,
    floor: int | None = None,
    floor_group: str | Sequence[str] | None = None,
    protect: str | Sequence[str] | None = None,
    seeds: int | None = None,
    same_steps: bool | None = None,
    loss_margin: float | None = None,
    workers: int | None = None,
    force: bool = False,
) -> LargestShare:
    """Find the largest share of the rows that can be dropped without losing more than `margin` points of accuracy.

    Of completions: without the held-out loss rising by more than `loss_margin` nats per token.

    A bisection with as few seeds as needed finds the share, on training rows that its models have not seen; its intervals allow
    for every look. Where heads on a frozen encoder score the rows, it trains heads, and every row decides: the rows are cut into
    1 / `validation` folds, and the rows outside each are scored and trained on. Else a part of the rows, `validation`, decides,
    and whole models are trained on the others. If there are test rows, they are used once, at the share that was found, with the
    scores and the model of the run itself.

    All runs must have the score columns that the search reads: where a strategy accepts several scores, it takes the first
    one that they all have.

    Raises
    ------
    UserError
        nothing was scored yet, or an invalid selection. Before anything is trained: a column that was added to the scores,
        which no other run has; a validation share that holds out no row; no share that drops rows.
    """
    arguments = locals()
    from thresher.experiments.how_much import Search
    from thresher.experiments.how_much import how_much as step_of

    opened = Run.open(run)
    config = with_arguments(opened.config, arguments, "how_much", "select", "compare")
    search = Search(how_much=config.how_much, select=config.select, compare=config.compare)
    return LargestShare(**step_of(opened, search, force=force))


@public
def sweep(
    run: RunLike,
    *,
    scores: str | Sequence[str] | None = None,
    ends: str | Sequence[str] | None = None,
    fractions: float | Sequence[float] | None = None,
    seeds: int | None = None,
    strategies: str | Sequence[str] | None = None,
    same_steps: bool | None = None,
    models: str | Sequence[str] | None = None,
    floor: int | None = None,
    floor_group: str | Sequence[str] | None = None,
    protect: str | Sequence[str] | None = None,
    workers: int | None = None,
    engine: str | None = None,
    address: str | None = None,
    force: bool = False,
) -> Sweep:
    """Compare selections by every score, from either end, at several fractions, each retrained with several seeds.

    With `engine="ray"` and `address` on a cluster whose machines all see the run folder. Floors and protected rows
    apply to every selection. A training that was done before, by any command, is not repeated; after an interruption the
    same call resumes. Lines of an earlier sweep on the same scores and test rows are kept. Completions are compared by their
    held-out loss per token, rows with labels by accuracy.

    Raises
    ------
    UserError
        nothing was scored yet, no test rows, or an unknown score, strategy or setting.
    """
    arguments = locals()
    from thresher.experiments.sweep import SweepSettings, result_file
    from thresher.experiments.sweep import sweep as step_of

    opened = Run.open(run)
    config = with_arguments(opened.config, arguments, "sweep", "select")
    step_of(opened, SweepSettings(sweep=config.sweep, select=config.select), force=force)
    return Sweep(**read_json(result_file(opened)))


@public
def noise(
    run: RunLike,
    *,
    kinds: str | Sequence[str] | None = None,
    levels: float | Sequence[float] | None = None,
    fractions: float | Sequence[float] | None = None,
    hard_fractions: float | Sequence[float] | None = None,
    seeds: int | None = None,
    group: str | None = None,
    seed: int | None = None,
    workers: int | None = None,
    force: bool = False,
) -> NoiseStudy:
    """Plant label noise at several levels, score and prune a run on each, and count the wrong labels that each score finds.

    Every level is a separate run with the recipe of this one and its unchanged test rows. It resumes after an interruption; a
    level that is done is not repeated.

    Raises
    ------
    UserError
        nothing was scored yet, no test rows, or an invalid setting. Before anything is trained: a level at which no
        label changes, a fraction that drops no row or all, too few rows to compare.
    """
    arguments = locals()
    from thresher.experiments.noise import noise as step_of

    opened = Run.open(run)
    config = with_arguments(opened.config, arguments, "noise")
    return NoiseStudy(**step_of(opened, config.noise, force=force))
