"""The measuring pass over a run: what is left to do, done in parallel, and the signals read back."""

from __future__ import annotations

import polars as pl
from transformers import PreTrainedTokenizerBase

from thresher.config import MeasureConfig
from thresher.errors import UserError
from thresher.models.tokens import tokenise
from thresher.progress import say, track
from thresher.run import Run, Training, parquet
from thresher.run.integrity import MISSING, read_table, write_table
from thresher.run.run import TRAIN_AGAIN
from thresher.run.steps import Facts
from thresher.signals.chunk import Inputs, loaded, usable_layers
from thresher.signals.distribute import measure_chunks
from thresher.signals.plan import Plan, make_plan, part_problem, read_parts, scored_trainings, write_plan
from thresher.training.checkpoints import checkpoint_table, load_weights
from thresher.training.feature_files import ROWS, check_features, read_features, vectors_column
from thresher.training.features import write_features
from thresher.training.finished import list_checkpoints
from thresher.training.folds import folds_of, read_held_out
from thresher.training.predict import predict_logits
from thresher.training.recipe import MANY
from thresher.training.words import write_words


def measure_run(run: Run, settings: MeasureConfig) -> Facts:
    """Measure every chunk that has no intact part yet, for every scored training; gradients for the first one only.

    Parts are written as they finish; after a kill the same call resumes. A damaged part, or one of another plan, is reported
    and measured again.

    Returns {"rows", "checkpoints", "truncated", "measured_chunks", "refused": {signal: reason}}
    """
    frozen = run.config.model.freeze
    used = settings
    if frozen:
        if settings.engine != "local":
            say(f"measure: the heads of a frozen encoder are measured here, not by engine {settings.engine}")
        used = settings.model_copy(update={"engine": "local"})
        if run.manifest.n_rows <= MANY:
            # Heads are measured in less time than a process takes to start.
            used = used.model_copy(update={"workers": 1})
    if frozen or settings.features:
        write_features(run)
    if settings.words:
        write_words(run)
    else:
        run.words_file.unlink(missing_ok=True)
    trainings = scored_trainings(run)
    if not trainings:
        raise UserError(f"{run}: no training to measure; run `thresher train` first")
    measured, refused = 0, {}
    for training in trainings:
        plan = make_plan(run, training, used, gradients=training == trainings[0])
        left = []
        for chunk in range(plan.chunks):
            problem = part_problem(plan, chunk)
            if problem is not None:
                left.append(chunk)
                if problem != MISSING:
                    say(f"{plan.part(chunk)}: {problem}; measuring it again")
        for stale in plan.folder.glob("part-*.parquet"):
            if int(stale.stem[5:]) >= plan.chunks:
                stale.unlink()
        prepare(run, plan)
        if training == trainings[0]:
            refused = refused_signals(plan)
        with track(f"measure {training.name}", sum(plan.rows_of(chunk)[1] for chunk in left)) as advance:
            for rows in measure_chunks(plan, left, used):
                advance(rows)
        measured += len(left)
    # Counted from the files: the signals are never in memory as a whole.
    parts = parquet.scan(sorted(run.signals(trainings[0]).glob("part-*.parquet")))
    counts = parts.select(rows=pl.len(), truncated=pl.col("truncated").sum()).collect()
    return {
        "rows": int(counts["rows"][0]),
        "checkpoints": len(list_checkpoints(run.checkpoints(trainings[0]))),
        "truncated": int(counts["truncated"][0]),
        "measured_chunks": measured,
        "refused": refused,
    }


def prepare(run: Run, plan: Plan) -> None:
    """Write what is measured once per training: its checkpoint table and the logits of its model on empty input."""
    model, tokenizer, _ = loaded(plan)
    hidden = int(model.encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
    table = checkpoint_table(run.checkpoints(plan.training), hidden)
    write_table(plan.folder / "checkpoints.parquet", table)
    null = list_checkpoints(run.checkpoints(Training("null", plan.training.index)))
    logits = None
    if null:
        empty = one_row(plan, tokenizer, "")
        device = next(model.parameters()).device
        weights = load_weights(null[-1], device)
        model.load_state_dict(weights, assign=True)
        logits = predict_logits(model.requires_grad_(False).eval(), empty)[0].tolist()
    write_plan(plan, logits)


def refused_signals(plan: Plan) -> dict[str, str]:
    """The layers whose gradient norms this architecture does not give, with the reason."""
    model, tokenizer, weights = loaded(plan)
    refused = usable_layers(model, weights[0], one_row(plan, tokenizer, "a"))[1]
    return {name: reason for name, reason in refused.items() if name in plan.signals}


def one_row(plan: Plan, tokenizer: PreTrainedTokenizerBase | None, text: str) -> Inputs:
    """The input of a row that holds this text alone; for a frozen encoder, that of the empty text."""
    if tokenizer is None:
        return read_features(plan.run.features_folder("empty"))
    return tokenise([[text] for _ in plan.inputs.text], tokenizer, 8)


def read_signals(run: Run, training: Training) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The signals table of one training in row order, and its checkpoint table.

    To the measured columns it adds `null_logits` (the same for every row), `correct`, the whole-set evaluations in step
    order, `held_out_logits` (K) of trainings that have not seen the row, `features` of the pretrained encoder, and `word_margin`,
    where there are any.
    """
    signals, null, checkpoints = read_parts(run, training)
    if null is not None:
        kind = pl.Array(pl.Float32, len(null))
        signals = signals.with_columns(
            pl.lit(pl.Series("null_logits", [null], dtype=kind)).first().alias("null_logits")
        )
    evaluations = sorted(run.evaluations(training).glob("step-*.parquet"))
    if evaluations:
        tables = [read_table(path, TRAIN_AGAIN).rename({"correct": path.stem}) for path in evaluations]
        steps = [path.stem for path in evaluations]
        correct = pl.concat(
            [
                tables[0].select("id"),
                *(table.select(step) for table, step in zip(tables, steps, strict=True)),
            ],
            how="horizontal",
        )
        signals = with_column(signals, correct.select("id", correct=pl.concat_list(steps)))
    held_out = read_held_out(run, training, folds_of(run.config.model, run.config.train))
    if held_out is not None:
        signals = with_column(signals, held_out)
    again = f"`thresher measure {run}` makes it again"
    if (folder := run.features_folder()).is_dir():
        check_features(folder, again)
        places = with_column(signals.select("id"), parquet.read(folder / ROWS, ["id", "place"]))["place"]
        signals = signals.with_columns(vectors_column(folder, places))
    if run.words_file.is_file():
        signals = with_column(signals, read_table(run.words_file, again))
    return signals, checkpoints


def with_column(signals: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """The signals and, row by row by id, the column of a table `id, NAME`."""
    # Joined to the ids alone, as a join copies every column.
    found = signals.select("id").join(table, on="id", how="left", maintain_order="left")
    return signals.with_columns(found.drop("id"))
