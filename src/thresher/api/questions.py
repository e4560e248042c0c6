"""The questions that are asked of a run: explain, suspects, how much, sweep, noise, map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from thresher.api.arguments import End, Normalise
from thresher.results import LargestShare, NoiseStudy, Sweep
from thresher.run import Run, RunLike
from thresher.run.integrity import read_table
from thresher.run.outputs import as_place
from thresher.settings import changed
from thresher.signature import given, public


@public
def explain(
    run: RunLike,
    *,
    test_rows: str | Sequence[str] = (),
    rows: str | Sequence[str] = (),
    text: str | Sequence[str] | None = None,
    label: str | None = None,
    top: int = 10,
    layer: str = "encoder",
    workers: int | None = None,
) -> pl.DataFrame:
    """The training rows that lowered the loss of some rows most (proponents), and those that raised it most (opponents).

        TracIn(z, z') = sum over checkpoints c of  lr_c * < d loss(z) / d w at c, d loss(z') / d w at c >        nats

    with w all parameters of the last encoder layer or of the last classifier layer, and lr_c its learning rate: how much the
    steps that training took on row z' lowered the loss of row z, to first order.

    Parameters
    ----------
    run
        a run folder in which a model was trained; of several trainings in it the first one counts.
    test_rows
        ids of test rows; one, a list or a column of them.
    rows
        ids of training rows; none is listed for itself.
    text, label
        a text that is in no file (two for pairs), and the class to explain.
    top
        rows to list on each side, 10 by default.
    layer
        "encoder" (the default) or "classifier".
    workers
        processes; by default what the run was measured with, else one per core.

    Returns
    -------
    a table with the columns of ("test", "train" or "text"), target, target_label, target_text, side, rank, value, id, label,
    text (for pairs also target_text_2 and text_2): for every target first its proponents from the largest value down, then
    its opponents from the smallest up. A side has fewer rows where fewer have a value of its sign.

    Raises
    ------
    UserError
        an unknown id or class, nothing to explain, no checkpoints, or a layer that no rule is known for.

    Source: Pruthi et al. (2020), "Estimating training data influence by tracing gradient descent", NeurIPS, section 3.
    """
    from thresher.experiments.explain import as_table, explanations

    found = explanations(
        Run.open(run),
        test_rows=test_rows,
        rows=rows,
        text=text,
        label=label,
        top=top,
        layer=layer,
        workers=workers,
    )
    return as_table(found)


@public
def suspects(
    run: RunLike,
    *,
    out: str | Path | None = None,
    by: str = "confidence",
    top: int | None = None,
    format: str = "table",
) -> pl.DataFrame:
    """List the rows whose most probable label is not the one they have, the most suspicious first, and write them to `out`.

    `format`: "table" (csv, jsonl or parquet by the ending of `out`) with `rank`, `id`, the texts, `given`, `likely`,
    their probabilities, `score` and `why`; "argilla" (jsonl), one record of Argilla 2 per line, for
    `rg.Record.from_dict`; "datalab" (npz or parquet): `id`, `label` and `pred_probs` of ALL rows, for cleanlab's Datalab.
    `by` is the score whose hard end comes first, `top` the most rows to list.

    The probabilities are the model's own, averaged over checkpoints and runs, on the rows that it was trained on.

    Returns the list, with the texts.

    Raises
    ------
    UserError
        nothing was scored yet, a run without the logits of every row (a recorded token classifier), an unknown score or
        format, an ending that the format is not written as, or a place that cannot be written.
    """
    from thresher.experiments.suspects import suspects as list_suspects

    return list_suspects(Run.open(run), None if out is None else as_place(out), by, top, format)


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
    workers: int | None = None,
    force: bool = False,
) -> LargestShare:
    """The largest share of the rows without which accuracy is not worse than with all by more than `margin` points.

    A validation part is cut from the training rows, by text; a run on the others is trained and scored, and a bisection with
    as few seeds as decide finds the share. The test rows, if there are any, are looked at once by it, at the share that was
    found, with the scores of the run itself.

    The run on the others scores them again. The search reads the columns that both runs have: where a strategy takes the first
    of several scores, the first that both have.

    Raises
    ------
    UserError
        nothing was scored yet, or a selection that cannot be made. Before anything is trained: a column that was added to the
        scores, which no other run has; a share that sets no row aside; no share that drops rows.
    """
    from thresher.experiments.how_much import Search
    from thresher.experiments.how_much import how_much as step_of

    opened = Run.open(run)
    asked = given(
        margin=margin, validation=validation, step=step, first_seeds=first_seeds, most_seeds=most_seeds
    )
    config = changed(opened.config, "how_much", asked)
    chosen = given(
        by=by,
        end=end,
        normalise=normalise,
        strategy=strategy,
        options=options,
        stratify=stratify,
        floor=floor,
        floor_group=floor_group,
        protect=protect,
    )
    config = changed(config, "select", chosen)
    config = changed(config, "compare", given(seeds=seeds, same_steps=same_steps, workers=workers))
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
    """Every score, from either end, at several fractions, retrained with several seeds: which one prunes best, and how far.

    With `engine="ray"` and `address` on a cluster whose machines all see the run folder. Floors and protected rows hold
    for every way to choose rows. A training that was done before, by any command, is not repeated; after an interruption the
    same call resumes. Lines of an earlier sweep on the same scores and test rows are kept.

    Raises
    ------
    UserError
        nothing was scored yet, no test rows, or an unknown score, strategy or setting.
    """
    from thresher.experiments.sweep import SweepSettings, read_sweep
    from thresher.experiments.sweep import sweep as step_of

    opened = Run.open(run)
    named = given(
        scores=scores,
        ends=ends,
        fractions=fractions,
        seeds=seeds,
        strategies=strategies,
        same_steps=same_steps,
        models=models,
        workers=workers,
        engine=engine,
        address=address,
    )
    config = changed(opened.config, "sweep", named)
    config = changed(config, "select", given(floor=floor, floor_group=floor_group, protect=protect))
    step_of(opened, SweepSettings(sweep=config.sweep, select=config.select), force=force)
    return Sweep(**read_sweep(opened))


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
    """Plant label noise at several levels, score a run on each, prune it, and count which scores find the wrong labels.

    Every level is a run of its own, with the recipe of the run and its test rows, whose labels stay. It resumes after an
    interruption; a level that is done is not repeated.

    Raises
    ------
    UserError
        nothing was scored yet, no test rows, or a setting that it does not take. Before anything is trained: a level at
        which no label changes, a fraction that drops no row or leaves none, fewer rows than can be compared.
    """
    from thresher.experiments.noise import noise as step_of

    opened = Run.open(run)
    named = given(
        kinds=kinds,
        levels=levels,
        fractions=fractions,
        hard_fractions=hard_fractions,
        seeds=seeds,
        group=group,
        seed=seed,
        workers=workers,
    )
    return NoiseStudy(**step_of(opened, changed(opened.config, "noise", named).noise, force=force))


@public
def map_rows(run: RunLike, *, rows: int = 3000, seed: int = 0, force: bool = False) -> pl.DataFrame:
    """Put up to `rows` rows, drawn with `seed`, on a plane by t-SNE of the pretrained encoder's vectors.

    The vectors are those of the run's encoder before it was fine-tuned, the mean over tokens; of a pair of texts, both one after
    the other. The report shows them, before and after the hard end is dropped.

    Returns
    -------
    a frame with `id`, `x`, `y`, in the order of the rows.

    Raises
    ------
    UserError
        not a trained run, too few rows to draw a map of, or a seed below 0 or of more than 32 bits.
    """
    from thresher.experiments.map import MapSettings
    from thresher.experiments.map import map_rows as step_of

    opened = Run.open(run)
    step_of(opened, MapSettings(rows=rows, seed=seed), force=force)
    return read_table(opened.map_file, f"`thresher map {opened}` draws it again")
