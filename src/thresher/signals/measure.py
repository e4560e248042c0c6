"""The measuring pass over a run folder: what is left to do, done in parallel, and the signals read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from thresher import parquet
from thresher.config import MeasureConfig, RunConfig
from thresher.errors import UserError
from thresher.model.tokens import tokenise
from thresher.progress import track
from thresher.run_folder import features_file, read_manifest, words_file
from thresher.sealed import read_table, write_table
from thresher.signals.chunk import Inputs, loaded, usable_layers
from thresher.signals.engines import find
from thresher.signals.plan import Plan, make_plan, part_fault, read_parts, write_plan
from thresher.training.checkpoints import checkpoint_table, list_checkpoints, load_weights
from thresher.training.features import read_features, write_features
from thresher.training.folds import folds_of, read_held_out
from thresher.training.predict import predict_logits
from thresher.training.recipe import configs
from thresher.training.sound import TRAIN_AGAIN
from thresher.training.words import are_wanted, write_words


def run_names(run: Path) -> list[str]:
    """The training runs of a run folder: run-0, run-1, ..."""
    return sorted((path.name for path in (run / "checkpoints").glob("run-*")), key=lambda name: int(name[4:]))


def measured_names(run: Path) -> list[str]:
    """The training runs that have signals, measured or watched."""
    return sorted((path.name for path in (run / "signals").glob("run-*")), key=lambda name: int(name[4:]))


def measure_run(run: Path, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Measure every chunk that has no sound part yet, for every training run; gradients for the first run only.

    Parts are written as they finish; after a kill the same call goes on where it was. A damaged or foreign part is named
    through `say` and redone.

    Returns
    -------
    {"rows", "checkpoints", "truncated", "measured_chunks", "refused": {signal: reason}}
    """
    manifest = read_manifest(run)
    config = manifest["config"]
    settings = MeasureConfig(**config["measure"])
    if config["model"]["freeze"]:
        # Heads are measured in less time than a process takes to start.
        if settings.engine != "local":
            say(f"measure: the heads of a frozen encoder are measured here, not by engine {settings.engine}")
        settings = settings.model_copy(update={"workers": 1, "engine": "local"})
    if config["model"]["freeze"] or settings.features:
        write_features(run)
    if are_wanted(RunConfig.model_validate(config)):
        write_words(run)
    else:
        words_file(run).unlink(missing_ok=True)
    engine = find(settings.engine).function
    names = run_names(run)
    if not names:
        raise UserError(f"{run}: no training run to measure; run `thresher train` first")
    measured, refused = 0, {}
    for name in names:
        plan = make_plan(run, name, manifest, gradients=name == names[0])
        left = []
        for chunk in range(plan.chunks):
            fault = part_fault(plan, chunk)
            if fault is not None:
                left.append(chunk)
                if fault != "absent":
                    say(f"{plan.part(chunk)}: {fault}; measuring it again")
        for stale in plan.folder.glob("part-*.parquet"):
            if int(stale.stem[5:]) >= plan.chunks:
                stale.unlink()
        prepare(plan)
        if plan.gradients:
            refused = refused_signals(plan)
        with track(f"measure {name}", sum(plan.rows_of(chunk)[1] for chunk in left)) as advance:
            for rows in engine(plan, left, settings, say):
                advance(rows)
        measured += len(left)
    # Counted from the files: what was measured is never in memory as a whole.
    parts = parquet.scan(sorted((run / "signals" / names[0]).glob("part-*.parquet")))
    counts = parts.select(rows=pl.len(), truncated=pl.col("truncated").sum()).collect()
    return {
        "rows": int(counts["rows"][0]),
        "checkpoints": len(list_checkpoints(run / "checkpoints" / names[0])),
        "truncated": int(counts["truncated"][0]),
        "measured_chunks": measured,
        "refused": refused,
    }


def prepare(plan: Plan) -> None:
    """Write what is measured once for a run: its checkpoint table and the logits of its model on empty input."""
    folder = plan.run / "checkpoints"
    model, tokenizer, _ = loaded(plan.run, plan.name, plan.dtype, plan.hash)
    hidden = int(model.encoder.config.hidden_size)  # type: ignore[union-attr, arg-type]
    table = checkpoint_table(folder / plan.name, hidden)
    write_table(plan.folder / "checkpoints.parquet", table)
    null = list_checkpoints(folder / plan.name.replace("run-", "null-"))
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
    model, tokenizer, weights = loaded(plan.run, plan.name, plan.dtype, plan.hash)
    refused = usable_layers(model, weights[0], one_row(plan, tokenizer, "a"))[1]
    wanted = read_manifest(plan.run)["config"]["measure"]["signals"]
    return {name: reason for name, reason in refused.items() if name in wanted}


def one_row(plan: Plan, tokenizer: Any, text: str) -> Inputs:
    """The input of a row that holds this text alone; of a frozen encoder there is the empty text's."""
    if tokenizer is None:
        return read_features(features_file(plan.run, "empty"))
    texts = read_manifest(plan.run)["config"]["data"]["text"]
    return tokenise([[text] for _ in texts], tokenizer, 8)


def read_signals(run: Path, name: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The signals table of one training run in row order, and its checkpoint table.

    To the measured columns it adds `null_logits` (the same for every row), `correct`, the whole-set evaluations in step
    order, `held_out_logits` (K) of trainings that have not seen the row, `features` of the pretrained encoder, and `word_margin`,
    where there are any.
    """
    signals, null, checkpoints = read_parts(run, name)
    if null is not None:
        kind = pl.Array(pl.Float32, len(null))
        signals = signals.with_columns(
            pl.lit(pl.Series("null_logits", [null], dtype=kind)).first().alias("null_logits")
        )
    evaluations = sorted((run / "evaluations" / name).glob("step-*.parquet"))
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
    held_out = read_held_out(run, name, folds_of(*configs(read_manifest(run))))
    if held_out is not None:
        signals = with_column(signals, held_out)
    if features_file(run).is_file():
        features = read_table(features_file(run), f"`thresher measure {run}` makes it again")
        signals = with_column(signals, features.select("id", "features"))
    if words_file(run).is_file():
        signals = with_column(
            signals, read_table(words_file(run), f"`thresher measure {run}` makes it again")
        )
    return signals, checkpoints


def with_column(signals: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """The signals and, row by row by id, the column of a table `id, NAME`."""
    # Joined to the ids alone, as a join copies every column.
    found = signals.select("id").join(table, on="id", how="left", maintain_order="left")
    return signals.with_columns(found.drop("id"))
