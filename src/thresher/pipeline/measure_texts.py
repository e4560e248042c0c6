"""The signals of a fine-tuned language model: what was recorded while it trained, and its loss without the prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from thresher.config import MeasureConfig
from thresher.errors import UserError
from thresher.execution.cores import cores
from thresher.execution.engines import run_tasks
from thresher.models.language_model import adapted
from thresher.pipeline.recorded_run import write_signals
from thresher.progress import say
from thresher.recording.table import CHUNK_ROWS, read_recording
from thresher.rows import read_rows
from thresher.run import FIRST, Run
from thresher.run.files import digest
from thresher.run.integrity import read_json, write_table
from thresher.run.layout import Layout
from thresher.run.run import TRAIN_AGAIN
from thresher.run.steps import Facts
from thresher.signals.completions import measure_completions, signal_frame, swap_to, token_frame
from thresher.signals.completions.of_tokens import rows_to_measure
from thresher.signals.plan import Plan, write_part, write_plan
from thresher.training.checkpoints import checkpoint_table, load_weights
from thresher.training.finished import done_file, list_checkpoints, weights_digests
from thresher.training.language_runs import prepared

# The losses of the completions with and without their prompts, for PVI and IFD.
ALONE, PROMPTED = "loss_alone", "loss_prompted"
END = "end_loss"


def measure_texts(run: Run, settings: MeasureConfig) -> Facts:
    """Write the signals of the rows; returns what `measure_run` does.

    Losses, EL2N and the like are those that the training recorded, a value per epoch, and PVI and IFD are of the last checkpoint.
    With signals of gradients, `gradient_gram`, `classifier_sq_norm` (of the output layer) or `encoder_sq_norm` (of the
    adapters, or of the last layer of a whole model), all signals are measured at the checkpoints instead, in eval mode.
    """
    ids = read_rows(run.rows_file).table["id"]
    signals = tuple(name for name in settings.signals if name != "gradient_std")
    threads = run.config.train.threads or cores()
    ((_, values),) = run_tasks(texts_job, [(run, signals)], 1, threads)
    write = write_measured if signals else write_recorded
    checkpoints = write(run, ids, values)
    write_table(run.token_losses_file, token_table(ids, values))
    how = "checkpoints" if signals else "epochs"
    say(f"measure: {len(ids):,} rows x {checkpoints} {how}, and their completions without the prompts")
    return {
        "rows": len(ids),
        "checkpoints": checkpoints,
        "truncated": int(read_json(done_file(run, FIRST))["truncated"]),
        "measured_chunks": -(-len(ids) // CHUNK_ROWS),
        "refused": {},
    }


def write_recorded(run: Run, ids: pl.Series, values: Mapping[str, Any]) -> int:
    """Write what the training recorded, and the losses of the last checkpoint beside it; returns the number of epochs."""
    layout = Layout(run.folder)
    try:
        recording = read_recording(layout.recording, 0)
    except (UserError, OSError) as error:
        raise UserError(f"{layout.recording}: what the training recorded is gone; {TRAIN_AGAIN}") from error
    numbers, unrecorded = recording.labelled_rows(len(ids), lambda row: -1)
    if len(numbers) < len(ids):
        raise UserError(f"{layout.recording}: is not of all rows; {TRAIN_AGAIN}")
    more = {name: values[name] for name in (ALONE, PROMPTED, END)}
    write_signals(layout, recording, ids, numbers, unrecorded, more)
    return recording.epochs.height


def write_measured(run: Run, ids: pl.Series, values: dict[str, Any]) -> int:
    """Write what was measured at the checkpoints; returns their number."""
    table = signal_frame(ids, values)
    checkpoints = checkpoint_table(run.checkpoints(FIRST), int(values["hidden"]))
    made_with = digest({"rows": len(ids), "weights": weights_digests(run, FIRST)})
    plan = Plan(Layout(run.folder), FIRST, len(ids), CHUNK_ROWS, 0, "float32", (), made_with)
    for chunk in range(plan.chunks):
        write_part(plan, chunk, table.slice(chunk * CHUNK_ROWS, CHUNK_ROWS))
    write_table(plan.folder / "checkpoints.parquet", checkpoints)
    write_plan(plan, None)
    return checkpoints.height


def token_table(ids: pl.Series, values: Mapping[str, Any]) -> pl.DataFrame:
    """The losses of the tokens of each row, and `end`, where in the completion each ends, if the tokenizer tells."""
    ends = values["token_end"]
    lists = [[None] * len(one) for one in values["token_loss"]] if ends is None else ends
    return token_frame(ids, values).with_columns(pl.Series("end", lists, dtype=pl.List(pl.UInt32)))


def texts_job(run: Run, signals: tuple[str, ...]) -> dict[str, Any]:
    """What the checkpoints of the model give for each row, those of the last alone where no gradients are wanted."""
    config = run.config
    model, tokenizer, tokens = prepared(config, read_rows(run.rows_file))
    model = adapted(model, config.generate, config.train.seed)
    paths = list_checkpoints(run.checkpoints(FIRST))
    weights = [swap_to(model, load_weights(path)) for path in (paths if signals else paths[-1:])]
    if config.generate.lora:
        # What trains of the layers are the adapters.
        signals = tuple({"encoder_sq_norm": "adapter_sq_norm"}.get(name, name) for name in signals)
    rows = rows_to_measure(tokens, tokenizer)
    found = measure_completions(
        model, rows, weights, (ALONE, *signals), batch_tokens=config.measure.batch_tokens
    )
    return {**found, "token_end": tokens.ends, "hidden": int(model.get_input_embeddings().weight.shape[1])}
