"""The steps and questions on a run, as notebooks and the command line call them.

rows = th.load("train.jsonl", text="text", label="label")
run = th.train(rows, out="RUN", test="test.jsonl")
th.measure(run); th.score(run); th.select(run, prune=0.45, by="vog"); th.compare(run); th.report(run)

or all of them in one call: th.run(rows, out="RUN", test="test.jsonl", prune=0.45)

A setting that is not given is that of `run.yaml`; no call remembers what another one was given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import polars as pl

from thresher.config import RunConfig, SelectConfig, Signal
from thresher.errors import UserError
from thresher.execution.torchrun import follow, rank
from thresher.pipeline import select as selecting
from thresher.pipeline.diet import prune_while_training
from thresher.pipeline.measure import measure as measure_step
from thresher.pipeline.own_files import REPORT
from thresher.pipeline.report import NoSettings
from thresher.pipeline.report import report as report_step
from thresher.pipeline.score import score as score_step
from thresher.pipeline.selection_settings import carried, check_selection
from thresher.pipeline.start import data_config
from thresher.pipeline.test_rows import load_test, place_of, set_test
from thresher.pipeline.train import train as train_step
from thresher.pipeline.watch import watch
from thresher.progress import say
from thresher.results import Comparison, LargestShare, Measured, NoiseStudy, Sweep, WholeRun
from thresher.rows import Rows, load, read_rows
from thresher.run import Run, RunLike
from thresher.run.integrity import read_table
from thresher.run.layout import Layout
from thresher.run.lock import lock
from thresher.settings import changed
from thresher.signature import given, public

__all__ = [
    "compare",
    "explain",
    "how_much",
    "load",
    "map_rows",
    "measure",
    "noise",
    "prune_while_training",
    "report",
    "run",
    "score",
    "select",
    "suspects",
    "sweep",
    "train",
    "watch",
]

End = Literal["easy", "hard"]
Normalise = Literal["auto", "raw", "class", "dataset"]
Dtype = Literal["float32", "float64", "bfloat16"]
Pooling = Literal["auto", "mean", "first", "last"]
ScoreOptions = Mapping[str, Mapping[str, Any]]


@public
def train(
    rows: Rows,
    *,
    out: str | Path,
    test: Any = None,
    config: RunConfig | None = None,
    model: str | None = None,
    layers: int | Literal["auto", "all"] | None = None,
    max_length: int | None = None,
    pooling: Pooling | None = None,
    head_hidden: Sequence[int] | None = None,
    dropout: float | None = None,
    freeze: bool | None = None,
    trust_remote_code: bool | None = None,
    proxy: str | int | None = None,
    proxy_trainings: int | None = None,
    epochs: float | None = None,
    max_steps: int | None = None,
    batch_size: int | None = None,
    encoder_lr: float | None = None,
    head_lr: float | None = None,
    weight_decay: float | None = None,
    schedule: str | None = None,
    warmup: float | None = None,
    seed: int | None = None,
    runs: int | None = None,
    folds: int | Literal["auto"] | None = None,
    checkpoints: int | None = None,
    checkpoint_every: int | None = None,
    forgetting_evaluations: int | None = None,
    forgetting_every: int | None = None,
    forgetting_epochs: float | None = None,
    null_epochs: float | None = None,
    bf16: bool | Literal["auto"] | None = None,
    diet: str | None = None,
    diet_options: Mapping[str, float] | None = None,
    report_to: Sequence[str] | None = None,
    threads: int | None = None,
    workers: int | None = None,
    force: bool = False,
    proof_seeds: int = 0,
) -> Run:
    """Check the rows, start a run and train the models that scores are made from.

    Under torchrun every process calls it; the first one does what is described here, and the others help it train.

    Parameters
    ----------
    rows
        what `load` gave.
    out
        the run folder; made if it is not there.
    test
        rows of a test set (or its path, a frame or a dataset, read with the same columns), for `compare`. A run that is there
        already gets them too: they change nothing about its training.
    config
        a whole configuration; single settings win over it. They are described in the reference of `run.yaml`. With `proxy`,
        "frozen", "frozen-3" or a number of layers, that model is trained instead and scores the rows for this one, which is
        trained by `compare` alone.
    force
        start over where the folder holds a run of other data or settings, or this one.
    proof_seeds
        trainings on full data that `compare` will ask for: trained side by side with the scored run where cores are free.

    Returns
    -------
    the run.

    Raises
    ------
    UserError
        bad rows, an unknown model or setting, or a folder that holds another run. Nothing is written then.
    """
    folder = Path(out)
    if rank() > 0:
        from thresher.training.train import train_job

        follow(train_job)
        return Run.open(folder)
    if not isinstance(rows, Rows) or config is None:
        config = RunConfig(data=data_config(rows, test))
    named = given(
        name=model,
        layers=layers,
        max_length=max_length,
        pooling=pooling,
        head_hidden=head_hidden,
        dropout=dropout,
        freeze=freeze,
        trust_remote_code=trust_remote_code,
    )
    config = changed(config, "model", named)
    config = changed(config, "proxy", given(encoder=proxy, trainings=proxy_trainings))
    recipe = given(
        epochs=epochs,
        max_steps=max_steps,
        batch_size=batch_size,
        encoder_lr=encoder_lr,
        head_lr=head_lr,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup=warmup,
        seed=seed,
        runs=runs,
        folds=folds,
        checkpoints=checkpoints,
        checkpoint_every=checkpoint_every,
        forgetting_evaluations=forgetting_evaluations,
        forgetting_every=forgetting_every,
        forgetting_epochs=forgetting_epochs,
        null_epochs=null_epochs,
        bf16=bf16,
        diet=diet,
        diet_options=diet_options,
        report_to=report_to,
        threads=threads,
        workers=workers,
    )
    config = changed(config, "train", recipe)
    tested = load_test(test, rows, config.data.id) if test is not None else None
    return train_step(folder, rows, tested, config, force=force, proof_seeds=proof_seeds)


@public
def measure(
    run: RunLike,
    *,
    signals: Sequence[Signal] | None = None,
    features: bool | None = None,
    words: bool | Literal["auto"] | None = None,
    chunk_rows: int | None = None,
    batch_tokens: int | None = None,
    dtype: Dtype | None = None,
    workers: int | None = None,
    engine: str | None = None,
    address: str | None = None,
    store: str | None = None,
    cores: int | None = None,
    force: bool = False,
) -> Measured:
    """Measure every signal in one pass over the rows; resumes after an interruption.

    Only `signals`, `features` and `words` change which scores there will be; `engine="ray"` measures on many machines, with
    `address`, `store` and `cores`.

    Raises
    ------
    UserError
        nothing was trained yet, a checkpoint is missing or damaged, or an engine that cannot start.
    """
    opened = Run.open(run)
    named = given(
        signals=signals,
        features=features,
        words=words,
        chunk_rows=chunk_rows,
        batch_tokens=batch_tokens,
        dtype=dtype,
        workers=workers,
        engine=engine,
        address=address,
        store=store,
        cores=cores,
    )
    facts = measure_step(opened, changed(opened.config, "measure", named).measure, force=force)
    return Measured(**facts)


@public
def score(run: RunLike, *, options: ScoreOptions | None = None, force: bool = False) -> pl.DataFrame:
    """Every score that the signals can give, raw and normalised, a line per row of the training data.

    `options` per score, e.g. `{"vog": {"window": "late"}, "el2n": {"epoch": 1}}`; by default those in `run.yaml`.

    Raises
    ------
    UserError
        nothing was measured yet, or an unknown score, option or value.
    """
    opened = Run.open(run)
    for name, values in (options or {}).items():
        if not isinstance(values, Mapping):
            raise UserError(
                f"options of {name} are {values}; give them by score and name, e.g. {{'vog': {{'window': 'late'}}}}"
            )
    plain = None if options is None else {name: dict(values) for name, values in options.items()}
    score_step(opened, changed(opened.config, "score", given(options=plain)).score, force=force)
    return opened.scores()


@public
def select(
    run: RunLike,
    *,
    prune: float | Literal["auto"] | None = None,
    by: str | None = None,
    end: End | None = None,
    normalise: Normalise | None = None,
    strategy: str | None = None,
    options: Mapping[str, float] | None = None,
    stratify: str | None = None,
    floor: int | None = None,
    floor_group: str | Sequence[str] | None = None,
    protect: str | Sequence[str] | None = None,
    seed: int | None = None,
    force: bool = False,
) -> pl.DataFrame:
    """Choose the rows to keep, and write them and the dropped ones in the format of the input.

    Returns `id, key, kept`; the files are `RUN/kept.*` and `RUN/dropped.*`. A class of which pruning would keep no row keeps
    `floor` of them, with a warning. `prune="auto"` drops the largest share that `how_much` finds.

    Raises
    ------
    UserError
        nothing was scored yet, a selection that cannot be made, or a source that has changed since it was read.
    """
    opened = Run.open(run)
    named = given(
        prune=prune,
        by=by,
        end=end,
        normalise=normalise,
        strategy=strategy,
        options=options,
        stratify=stratify,
        floor=floor,
        floor_group=floor_group,
        protect=protect,
        seed=seed,
    )
    facts = selection(opened, changed(opened.config, "select", named), named, force=force)
    return read_table(opened.selection_file(facts["name"]), f"`thresher select {opened}` makes it again")


def selection(run: Run, config: RunConfig, named: Mapping[str, Any], *, force: bool = False) -> dict[str, Any]:
    """Select by the settings of a configuration, of which some were `named` in the call; returns the facts of the selection."""
    run.require("score")
    used = config.select
    if used.prune == "auto":
        from thresher.experiments.how_much import Search, with_share

        used = with_share(run, Search(how_much=config.how_much, select=used, compare=config.compare))
    if from_file := carried(used, [*named, "prune"] if config.select.prune == "auto" else named):
        say(f"select: from run.yaml: {from_file}")
    return selecting.select(run, used, force=force)


@public
def compare(
    run: RunLike,
    *,
    test: Any = None,
    seeds: int | None = None,
    same_steps: bool | None = None,
    bootstrap: int | None = None,
    workers: int | None = None,
    force: bool = False,
) -> Comparison:
    """Prove the last selection by retraining: kept rows and as many random ones, beside full data.

    `seeds` trainings per arm; with `same_steps` they take as many steps on fewer rows, and otherwise as many epochs. `test`:
    test rows, or a path, a frame or a dataset, where the run has none or should have others.

    Raises
    ------
    UserError
        nothing was selected yet, or there are no test rows.
    """
    from thresher.experiments.compare import compare as compare_step
    from thresher.experiments.compare import comparison

    opened = Run.open(run)
    opened.require("select")
    named = given(seeds=seeds, same_steps=same_steps, bootstrap=bootstrap, workers=workers)
    if test is not None:
        with lock(opened.folder):
            rows = read_rows(opened.rows_file)
            found = load_test(test, rows, opened.config.data.id)
            if found.hash() != opened.manifest.test_hash:
                opened = set_test(opened, rows, found, place_of(test) or found.source.name)
    facts = compare_step(opened, changed(opened.config, "compare", named).compare, force=force)
    return Comparison(**comparison(opened, facts["name"]))


@public
def report(run: RunLike, *, force: bool = False) -> Path:
    """Write the report of a run, one self-contained HTML page, and return its path.

    Raises
    ------
    UserError
        not a run folder, or it cannot be written.
    """
    opened = Run.open(run)
    report_step(opened, NoSettings(), force=force)
    return opened.folder / REPORT


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

    return list_suspects(Run.open(run), None if out is None else Path(out), by, top, format)


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
    workers: int | None = None,
    engine: str | None = None,
    address: str | None = None,
    force: bool = False,
) -> Sweep:
    """Every score, from either end, at several fractions, retrained with several seeds: which one prunes best, and how far.

    With `engine="ray"` and `address` on a cluster whose machines all see the run folder. Floors, protected rows and strata are
    those of `run.yaml`. A training that was done before, by any command, is not repeated; after an interruption the same call
    resumes. Lines of an earlier sweep on the same scores and test rows are kept.

    Raises
    ------
    UserError
        nothing was scored yet, no test rows, or an unknown score, strategy or setting.
    """
    from thresher.experiments.sweep import read_sweep
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
    step_of(opened, changed(opened.config, "sweep", named).sweep, force=force)
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


@public
def run(
    rows: Rows,
    *,
    out: str | Path,
    test: Any = None,
    config: RunConfig | None = None,
    model: str | None = None,
    layers: int | Literal["auto", "all"] | None = None,
    max_length: int | None = None,
    freeze: bool | None = None,
    proxy: str | int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    encoder_lr: float | None = None,
    head_lr: float | None = None,
    runs: int | None = None,
    folds: int | Literal["auto"] | None = None,
    checkpoints: int | None = None,
    threads: int | None = None,
    diet: str | None = None,
    diet_options: Mapping[str, float] | None = None,
    features: bool | None = None,
    words: bool | Literal["auto"] | None = None,
    engine: str | None = None,
    address: str | None = None,
    store: str | None = None,
    score_options: ScoreOptions | None = None,
    prune: float | Literal["auto"] | None = None,
    by: str | None = None,
    end: End | None = None,
    normalise: Normalise | None = None,
    strategy: str | None = None,
    strategy_options: Mapping[str, float] | None = None,
    stratify: str | None = None,
    floor: int | None = None,
    floor_group: str | Sequence[str] | None = None,
    protect: str | Sequence[str] | None = None,
    margin: float | None = None,
    seeds: int | None = None,
    same_steps: bool | None = None,
    seed: int | None = None,
    workers: int | None = None,
    force: bool = False,
) -> WholeRun:
    """The whole job: train, measure, score, select, compare (where there are test rows) and report.

    Takes the most used settings of the steps by name, and all of them through `config`; finished steps are skipped. `seed` is
    that of the training and of the selection, `seeds` the trainings per arm of the proof, `workers` the processes of each step,
    `margin` the points of accuracy that `prune="auto"` may lose.

    Raises
    ------
    UserError
        what any of the steps refuses; an impossible selection before anything is trained.
    """
    if not isinstance(rows, Rows) or config is None:
        config = RunConfig(data=data_config(rows, test))
    plain = None if score_options is None else {name: dict(values) for name, values in score_options.items()}
    sections: dict[str, Mapping[str, Any]] = {
        "model": given(name=model, layers=layers, max_length=max_length, freeze=freeze),
        "proxy": given(encoder=proxy),
        "train": given(
            epochs=epochs,
            batch_size=batch_size,
            encoder_lr=encoder_lr,
            head_lr=head_lr,
            runs=runs,
            folds=folds,
            checkpoints=checkpoints,
            threads=threads,
            diet=diet,
            diet_options=diet_options,
            seed=seed,
            workers=workers,
        ),
        "measure": given(
            features=features, words=words, engine=engine, address=address, store=store, workers=workers
        ),
        "score": given(options=plain),
        "select": given(
            prune=prune,
            by=by,
            end=end,
            normalise=normalise,
            strategy=strategy,
            options=strategy_options,
            stratify=stratify,
            floor=floor,
            floor_group=floor_group,
            protect=protect,
            seed=seed,
        ),
        "compare": given(seeds=seeds, same_steps=same_steps, workers=workers),
        "how_much": given(margin=margin),
    }
    for section, named in sections.items():
        config = changed(config, section, named)
    return whole_job(rows, Path(out), test, config, force=force)


def has_record(folder: Path, step: str) -> bool:
    """Whether a folder holds a run in which a step was finished, by the run or by its proxy."""
    layout = Layout(folder)
    return any(one.record_file(step).is_file() for one in (layout, Layout(layout.proxy_folder)))


def whole_job(rows: Rows, folder: Path, test: Any, config: RunConfig, *, force: bool = False) -> WholeRun:
    """The whole job by a configuration; see `run`."""
    if not has_record(folder, "score"):
        check_selection(config.select, rows.groups, rows.label)
    if not has_record(folder, "measure"):
        from thresher.execution.engines import Place, check_engine

        check_engine(Place(config.measure.engine, config.measure.address), config.measure.store)
    tested = load_test(test, rows, config.data.id) if test is not None else None
    proof_seeds = config.compare.seeds if test is not None else 0
    opened = train_step(folder, rows, tested, config, force=force, proof_seeds=proof_seeds)
    # run.yaml is what the last whole job was asked for; the recipe has what `auto` means here, and data.test may be older.
    asked = config.model_copy(update={name: getattr(opened.config, name) for name in ("data", "train")})
    opened = opened.with_manifest(config=asked)
    measure_step(opened, config.measure)
    score_step(opened, config.score)
    facts = selection(opened, config, dict.fromkeys(SelectConfig.model_fields))
    proof = compare(opened) if opened.has_test else None
    page = report(opened)
    return WholeRun(
        opened,
        len(rows),
        facts["n_kept"],
        facts["name"],
        str(opened.folder / facts["kept"]),
        str(opened.folder / facts["dropped"]),
        str(page),
        proof,
    )
